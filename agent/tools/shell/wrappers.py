"""Programs that run other programs: `timeout 5 X`, `sudo X`, `xargs X`, `sh -c '...'`, `find -exec X`.

`unwrap` says what is run in the end, as far as the words show it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from agent.light_dataclass import dataclass
from agent.tools.shell.syntax import SimpleCommand
from agent.tools.shell.words import Word, names

SHELLS = names("sh bash dash zsh ksh ash mksh")

_SYSTEM_DIRECTORY = re.compile(r"/(usr/(local/)?)?s?bin/")
_ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)\+?=", re.DOTALL)
_MAX_LAYERS = 12


@dataclass(frozen=True, slots=True)
class Wrapper:
    """How to find the command in a wrapper's words.

    `flags` are its options without a value, `values` those with one; `positionals` counts the words between options and
    command; `settings`: `NAME=value` may come first. `powerful`: the command does more behind it than alone, so that a
    permission for the command is none for this. `fed`: more arguments come from its input.
    """

    flags: frozenset[str] = frozenset()
    values: frozenset[str] = frozenset()
    positionals: int = 0
    settings: bool = False
    powerful: bool = False
    fed: bool = False


_SUDO = Wrapper(
    names("-n -E -H -S -k -b -i -s -P --non-interactive --preserve-env --login --shell --background"),
    names("-u -g -p -C -T -h -r -t -D -R --user --group --prompt --chdir --host"),
    settings=True,
    powerful=True,
)
WRAPPERS: dict[str, Wrapper] = {
    "sudo": _SUDO,
    "doas": Wrapper(names("-n -s"), names("-u -C"), powerful=True),
    "chroot": Wrapper(positionals=1, powerful=True),
    "flock": Wrapper(names("-x -s -n -u"), names("-w -E"), positionals=1, powerful=True),
    "watch": Wrapper(names("-d -t -b -e -g -c -x"), names("-n"), powerful=True),
    "strace": Wrapper(names("-f -c -v"), names("-e -o -p -s"), powerful=True),
    "busybox": Wrapper(powerful=True),
    "toybox": Wrapper(powerful=True),
    "exec": Wrapper(names("-c -l"), names("-a"), powerful=True),
    "env": Wrapper(names("-i - -0 --ignore-environment --null"), names("-u -C --unset --chdir"), settings=True),
    "nice": Wrapper(values=names("-n --adjustment")),
    "ionice": Wrapper(names("-t"), names("-c -n --class --classdata")),
    "timeout": Wrapper(
        names("--foreground --preserve-status -v --verbose"), names("-k -s --kill-after --signal"), positionals=1
    ),
    "time": Wrapper(names("-p")),
    "nohup": Wrapper(),
    "setsid": Wrapper(names("-c -f -w --ctty --fork --wait")),
    "stdbuf": Wrapper(values=names("-i -o -e --input --output --error")),
    "command": Wrapper(names("-p")),
    "builtin": Wrapper(),
    "xargs": Wrapper(
        names("-0 -r -t -p -x --null --no-run-if-empty --verbose --exit --open-tty -o --replace --max-lines"),
        names("-I -d -E -n -P -L -s --max-args --max-procs --delimiter"),
        fed=True,
    ),
}


@dataclass(frozen=True, slots=True)
class Call:
    """A program as it will run in the end.

    `settings` are the variables set for it, `powers` the wrappers that make it more than itself, `unclear` says why its
    words are not certain. `script` is shell text it interprets (`sh -c`), `reads_script` that it takes one from its
    input. `outer` is the command as written.
    """

    words: tuple[Word, ...]
    outer: SimpleCommand
    settings: tuple[str, ...] = ()
    powers: tuple[str, ...] = ()
    fed: bool = False
    unclear: str | None = None
    script: str | None = None
    reads_script: bool = False

    @property
    def program(self) -> str:
        """The name of the program, without a system directory; empty if it is only known when it runs."""
        return program_name(self.words[0]) if self.words and self.words[0].known else ""

    @property
    def arguments(self) -> tuple[Word, ...]:
        return self.words[1:]


def program_name(word: Word) -> str:
    """`/usr/bin/rm` is `rm`; a program elsewhere keeps its path."""
    return _SYSTEM_DIRECTORY.sub("", word.text, count=1) if _SYSTEM_DIRECTORY.match(word.text) else word.text


def unwrap(command: SimpleCommand) -> list[Call]:
    """The call at the bottom of all wrappers, and those that `find -exec` makes besides."""
    call = Call(command.words, command, command.settings)
    for _ in range(_MAX_LAYERS):
        wrapper = WRAPPERS.get(call.program)
        if wrapper is None or _only_looks_up(call):
            break
        inner = _peel(call, wrapper)
        if not inner.words:
            break
        call = inner
    else:
        call = replace(call, unclear="it is wrapped too many times")
    if call.program in SHELLS:
        call = _shell(call)
    elif call.program in {"eval", "su"} and call.arguments:
        known = all(word.known for word in call.arguments)
        words = [word.text for word in call.arguments]
        after_c = words[words.index("-c") + 1 :] if "-c" in words else []
        text = " ".join(words) if call.program == "eval" else " ".join(after_c[:1])
        call = replace(call, script=text if known and text else None)
    elif call.program in {"find", "fd"}:
        return [call, *_executed(call)]
    return [call]


def _only_looks_up(call: Call) -> bool:
    """`command -v X` names a program; `env` and `xargs` without a command stay what they are."""
    return call.program == "command" and any(word.text in {"-v", "-V"} for word in call.arguments[:1])


def _peel(call: Call, wrapper: Wrapper) -> Call:
    """One layer less. Without a command behind the wrapper, the words are empty."""
    words, settings, unclear = call.arguments, list(call.settings), call.unclear
    at, wanted = 0, wrapper.positionals
    while at < len(words):
        word = words[at]
        if not word.known and not wanted and not (wrapper.settings and _ASSIGNMENT.match(word.text)):
            break
        if word.text == "--":
            at += 1
        elif (word.text.startswith("-") and word.text != "-") or word.text in wrapper.flags:
            step = _option_words(word.text, wrapper)
            unclear = unclear or (f"`{call.program} {word.text}` is not understood" if step == 0 else None)
            at += step or 1
        elif wrapper.settings and (match := _ASSIGNMENT.match(word.text)):
            settings.append(match[1])
            at += 1
        elif wanted:
            wanted -= 1
            unclear = unclear or (None if word.known else f"`{call.program} {word.text}` is only known when it runs")
            at += 1
        else:
            break
    powers = (*call.powers, call.program) if wrapper.powerful else call.powers
    return replace(
        call,
        words=words[at:],
        settings=tuple(settings),
        powers=powers,
        fed=call.fed or wrapper.fed,
        unclear=unclear,
    )


def _option_words(text: str, wrapper: Wrapper) -> int:
    """How many words an option takes, 0 if it is not known."""
    if text in wrapper.flags:
        return 1
    if text in wrapper.values:
        return 2
    name = text.split("=", 1)[0]
    if text.startswith("--"):
        return 1 if "=" in text and (name in wrapper.values or name in wrapper.flags) else 0
    if text[:2] in wrapper.values:
        return 1
    numeric = re.fullmatch(r"-\d+", text) and "-n" in wrapper.values
    return 1 if numeric or all(f"-{letter}" in wrapper.flags for letter in text[1:]) else 0


def _shell(call: Call) -> Call:
    """`bash -c TEXT` carries its script; `bash FILE` names it; anything else reads it from its input."""
    words = call.arguments
    unclear = call.unclear
    at = 0
    while at < len(words) and words[at].text[:1] in {"-", "+"} and words[at].known:
        text = words[at].text
        if re.fullmatch(r"-[A-Za-z]*c[A-Za-z]*", text):
            script = words[at + 1] if at + 1 < len(words) else Word("")
            if not script.known:
                unclear = "the script of a shell is only known when it runs"
            elif set(text) - set("-ceuxlv"):
                unclear = unclear or f"`{call.program} {text}` is not understood"
            return replace(call, script=script.text, unclear=unclear)
        if text in {"--", "-"}:
            at += 1
            break
        takes_value = text in {"-o", "+o", "-O", "+O", "--rcfile", "--init-file"}
        if text == "-s":
            return replace(call, reads_script=True, unclear=unclear)
        at += 2 if takes_value else 1
        if "file" in text:
            unclear = unclear or "a shell reads another start-up file"
    only_tells = any(word.text in {"--version", "--help"} for word in words)
    from_input = at >= len(words) or words[at].text in {"/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"}
    return replace(call, reads_script=from_input and not only_tells, unclear=unclear)


def _executed(call: Call) -> list[Call]:
    """The commands that `find` or `fd` starts."""
    starts = (
        {"-exec", "-execdir", "-ok", "-okdir"} if call.program == "find" else {"-x", "-X", "--exec", "--exec-batch"}
    )
    found = []
    words: Sequence[Word] = call.arguments
    for at, word in enumerate(words):
        if word.text in starts:
            rest = words[at + 1 :]
            stop = next((i for i, other in enumerate(rest) if other.text in {";", "+"}), len(rest))
            inner = replace(call.outer, words=tuple(rest[:stop]), settings=())
            found += [replace(nested, fed=True) for nested in unwrap(inner)] if rest[:stop] else []
    return found[:_MAX_LAYERS]

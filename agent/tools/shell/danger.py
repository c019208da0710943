"""Commands that ruin a machine or run unseen code from the net. These need a person even where all else is approved.

This is a guard against catastrophe by mistake, not against an adversary: a script can do all of it out of sight.
"""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Iterator, Sequence
from itertools import islice, pairwise

from agent.tools.sensitive_paths import expand_home
from agent.tools.shell.syntax import Redirect, SimpleCommand, join_path
from agent.tools.shell.words import Word, names, render
from agent.tools.shell.wrappers import SHELLS, Call, unwrap

_SYSTEM_PLACES = names(
    """/ /bin /boot /dev /etc /home /lib /lib32 /lib64 /media /mnt /opt /proc /root /run /sbin /srv /sys /usr /usr/bin
    /usr/lib /usr/lib64 /usr/local /usr/sbin /usr/share /var /var/lib /Applications /Library /System /Users /Volumes"""
)
_BLOCK_DEVICE = re.compile(r"/dev/(sd|hd|vd|xvd|nvme\d|mmcblk\d|disk\d|rdisk\d|dm-\d|md\d|loop\d|mapper/|disk/)\S*")
_WRITES_DEVICES = names("tee cp mv shred truncate badblocks fdisk sfdisk parted sgdisk wipefs blkdiscard install")
_STOPS_MACHINE = names("shutdown reboot halt poweroff")
_DOWNLOADS = names("curl wget fetch aria2c http https lwp-download")
_INTERPRETERS = re.compile(r"(python|pypy)[\d.]*|perl|ruby|node|php|lua|Rscript|deno|bun")
_ALL_OF_IT = re.compile(r"(^|/)(\*|\.\*|\*\*|\.\[!\.\]\*|\.\?\?\*|\{\*,\.\*\}|\*\.\*)$")
_USUAL_VARIABLES = names(
    "HOME PWD OLDPWD TMPDIR TMP TEMP VIRTUAL_ENV CONDA_PREFIX HF_HOME XDG_CACHE_HOME XDG_CONFIG_HOME XDG_DATA_HOME"
)
_FIND_TESTS = re.compile(r"-(i?name|i?path|i?regex|[acm](time|min)|newer\w*|size|empty|user|group|perm|inum|links)")
_MAX_ROUGH = 5000
_RUINOUS = re.compile(
    r"rm|mkfs|mkswap|newfs|/dev/|shutdown|reboot|halt|poweroff|init|systemctl|ch(mod|own|grp)|kill|find|sh"
)
_FUNCTION = re.compile(r"\(\s{0,9}\)\s{0,9}\{")
_FORK_BOMB = re.compile(r"([^\s(){};&|]+)\s*\(\s*\)\s*\{\s*\1\s*\|\s*\1\s*&")


def danger(call: Call, home: str, assigned: frozenset[str] = frozenset()) -> str | None:
    """What the call would ruin, in words; None if it is not known to. `assigned`: variables that the script sets."""
    words = (*call.arguments, *_echoed(call)) if call.fed else call.arguments
    name = call.program
    checks = (
        _deletes(name, words, call, home, assigned),
        _hands_over(name, words, call, home),
        _ruins_device(name, words),
        _stops(name, [word.text for word in words]),
        _runs_download(name, call),
    )
    return next((found for found in checks if found), None)


def redirect_danger(redirect: Redirect) -> str | None:
    """Output straight onto a disk."""
    onto_disk = ">" in redirect.operator and _BLOCK_DEVICE.fullmatch(redirect.target.text)
    return f"it writes to the disk {redirect.target.text} itself" if onto_disk else None


def is_fork_bomb(text: str) -> bool:
    """Whether a function is defined that starts itself twice, in whatever disguise of blanks."""
    for head in _FUNCTION.finditer(text):
        end = head.end() + 120
        if "|" in text[head.end() : end] and _FORK_BOMB.search(text, max(0, head.start() - 40), end):
            return True
    return False


def feeds_download(text: str) -> bool:
    """Whether a here-string is what a download brings: `sh <<< "$(curl X)"`."""
    return bool(re.match(rf"\s*(\$\(|`)\s*({'|'.join(sorted(_DOWNLOADS))})\b", text))


def rough_danger(text: str, directory: str | None, home: str) -> str | None:
    """The same for a text that could not be parsed, cut at whatever may separate commands."""
    for stages in islice(_rough_pipelines(text, only=_RUINOUS), _MAX_ROUGH):
        upstream: tuple[SimpleCommand, ...] = ()
        for words in stages:
            command = SimpleCommand(words, upstream=upstream[-5:], directories=(directory,))
            found = next((reason for call in unwrap(command) if (reason := danger(call, home))), None)
            if found:
                return found
            upstream = (*upstream, command)
    return None


def rough_texts(text: str) -> list[str]:
    """What commands a text that could not be parsed may hold, for rules that forbid."""
    commands = (words for stages in _rough_pipelines(text) for words in stages)
    return [found for words in islice(commands, _MAX_ROUGH) for found in (render(words), render(words[1:])) if found]


def _rough_pipelines(text: str, only: re.Pattern[str] | None = None) -> Iterator[list[tuple[Word, ...]]]:
    """What may be pipelines, each once; with `only`, those in which it is found."""
    seen: set[str] = set()
    for line in _without_heredocs(text.replace("\r", "\n").replace("\\\n", "")):
        for part in re.split(r"[;&(){}`]", line):
            if part in seen or (only and not only.search(part)):
                continue
            seen.add(part)
            stages = [_rough_words(stage) for stage in part.split("|")]
            yield [words for words in stages if words]


def _rough_words(text: str) -> tuple[Word, ...]:
    if len(text) > 2000:
        text = text[:1000] + " " + text[-1000:]
    try:
        parts = shlex.split(text)
    except ValueError:
        parts = text.split()
    while parts and parts[0] in {"then", "do", "else", "!", "if", "while"}:
        del parts[0]
    return tuple(Word(part, known=not part.startswith("$"), glob="*" in part) for part in parts)


def _without_heredocs(text: str) -> Iterator[str]:
    """The lines that are commands: what is written into a file is not run, unless a shell reads it."""
    until: str | None = None
    for line in text.split("\n"):
        if until is not None:
            until = None if line.strip() == until else until
            continue
        yield line
        start = re.search(r"<<-?\s*(['\"]?)([A-Za-z_]\w*)\1", line)
        if start and not re.search(r"\b(ba|da|z|k)?sh\b", line):
            until = start[2]


def _echoed(call: Call) -> tuple[Word, ...]:
    """The words that reach `xargs` or a shell from an `echo` before it."""
    last = call.outer.upstream[-1].words if call.outer.upstream else ()
    return last[1:] if last and last[0].text in {"echo", "printf"} else ()


def place(word: Word, directory: str | None, home: str) -> str | None:
    """The absolute directory a word is about (`/etc/*` is about `/etc`), or None if that is not known."""
    text = _ALL_OF_IT.sub(r"\1", word.text) if word.glob or word.text.startswith("$") else word.text
    if not text or not text.startswith(("/", "~", "$HOME", "${HOME}")):
        if directory is None:
            return None
        text = join_path(directory, text)
    absolute = posixpath.normpath(expand_home(text, home))
    return "/" + absolute.lstrip("/") if absolute.startswith("/") else None


def ruinous(word: Word, directory: str | None, home: str) -> str | None:
    """The place, if losing it would be a catastrophe: `/`, a system directory, a home or what a home lies in."""
    found = place(word, directory, home)
    if found is None:
        return None
    above_home = f"{posixpath.normpath(home)}/".startswith(found.rstrip("/") + "/")
    return found if found in _SYSTEM_PLACES or above_home or re.fullmatch(r"/(home|Users)/[^/]+", found) else None


def _deletes(name: str, words: Sequence[Word], call: Call, home: str, assigned: frozenset[str]) -> str | None:
    directory = call.outer.directories[-1] if call.outer.directories else None
    options = [word.text for word in words if word.text.startswith("-")]
    recursive = any(re.fullmatch(r"-[a-zA-Z]*[rR][a-zA-Z]*|--r(ecursive)?\w*", option) for option in options)
    if name == "find":
        return _find_deletes(words, directory, home)
    if name not in {"rm", ""} or (not name and not (recursive and call.words)):
        return None
    unknown = any(not word.known and not word.text.startswith(("/", "~")) for word in words)
    for word in words:
        if word.text.startswith("-"):
            continue
        variable = re.fullmatch(r"\"?\$\{?([A-Za-z_]\w*)\}?\"?/+\**", word.text)
        if name and recursive and variable and variable[1] not in assigned | _USUAL_VARIABLES:
            return f"it deletes everything below {word.text}, which is / if {variable[1]} is empty"
        target = ruinous(word, directory, home)
        if target and (recursive or unknown or (word.glob and _ALL_OF_IT.search(word.text))):
            return f"it deletes {target} with what is in it"
    return None


def _find_deletes(words: Sequence[Word], directory: str | None, home: str) -> str | None:
    texts = [word.text for word in words]
    runs_rm = any(a in {"-exec", "-execdir"} and "rm" in b for a, b in pairwise(texts))
    if not ("-delete" in texts or runs_rm) or any(_FIND_TESTS.fullmatch(text) for text in texts):
        return None
    for word in words:
        if word.text.startswith(("-", "(", "!")):
            break
        if target := ruinous(word, directory, home):
            return f"it deletes {target} with what is in it"
    return None


def _hands_over(name: str, words: Sequence[Word], call: Call, home: str) -> str | None:
    if name not in {"chmod", "chown", "chgrp"}:
        return None
    if not any(re.fullmatch(r"-[a-zA-Z]*R[a-zA-Z]*|--recursive", word.text) for word in words):
        return None
    directory = call.outer.directories[-1] if call.outer.directories else None
    target = next((found for word in words if (found := ruinous(word, directory, home)) and word.text[:1] != "-"), None)
    return f"it changes the owner or mode of everything in {target}" if target else None


def _ruins_device(name: str, words: Sequence[Word]) -> str | None:
    if re.fullmatch(r"mkfs(\..+)?|mkswap|wipefs|blkdiscard|newfs", name):
        return "it makes a new file system, which erases the old one"
    if name == "dd":
        outputs = [word.text[3:] for word in words if word.text.startswith("of=")]
        target = next((output for output in outputs if _BLOCK_DEVICE.fullmatch(output)), None)
        return f"it overwrites the disk {target}" if target else None
    if name in _WRITES_DEVICES and not any(word.text in {"-l", "--list"} for word in words):
        target = next((word.text for word in words if _BLOCK_DEVICE.fullmatch(word.text)), None)
        return f"it writes to the disk {target} itself" if target else None
    return None


def _stops(name: str, texts: list[str]) -> str | None:
    if name in _STOPS_MACHINE and not set(texts) & {"-c", "--help", "--version"}:
        return "it stops the machine"
    if name in {"init", "telinit"} and texts[:1] in (["0"], ["6"]):
        return "it stops the machine"
    if name == "systemctl" and set(texts) & {"poweroff", "reboot", "halt", "kexec", "emergency", "rescue"}:
        return "it stops the machine"
    if name == "killall5" or (name == "kill" and "-1" in texts[1:]):
        return "it ends every process it can reach"
    return None


def _runs_download(name: str, call: Call) -> str | None:
    """`curl X | sh`, `bash <(curl X)`, `eval "$(curl X)"`: code that nobody has seen."""
    interpreter = name in SHELLS or bool(_INTERPRETERS.fullmatch(name))
    reads_input = call.reads_script or (
        interpreter and name not in SHELLS and _reads_program_from_input(call.arguments)
    )
    if reads_input and any(_downloads(stage) for stage in call.outer.upstream):
        return f"it runs what it downloads with `{name}`, unseen"
    if interpreter or name in {"eval", "source", "."}:
        computed = any(re.match(r"<\(" if word.known else r"\"?(\$\(|`|<\()", word.text) for word in call.arguments)
        if (computed or call.reads_script) and any(_downloads(inner) for inner in call.outer.inner):
            return f"it runs what it downloads with `{name}`, unseen"
    return None


def _reads_program_from_input(words: Sequence[Word]) -> bool:
    return all(word.text == "-" or re.fullmatch(r"-[uBEIsSOi]+", word.text) for word in words)


def _downloads(command: SimpleCommand) -> bool:
    return any(call.program in _DOWNLOADS for call in unwrap(command))

"""Which commands only look: an allow-list of programs with what may be among their arguments.

Everything not listed may change something. Three kinds of program are told apart by how much must be known of their
words: those that no argument makes dangerous and that print no file's content; those that print the content of files,
whose words must be known, because they may name credentials; and those with dangerous options, whose words must be
known to the last, file-name patterns at the beginning of a word included (a file may be called `-delete`).
"""

from __future__ import annotations

import re
from collections.abc import Callable

from agent.light_dataclass import dataclass
from agent.tools.sensitive_paths import holds_secrets
from agent.tools.shell.git import SUB_COMMAND, git_changes
from agent.tools.shell.syntax import join_path
from agent.tools.shell.words import Word, names
from agent.tools.shell.wrappers import Call

READS_CREDENTIALS = "it may read credentials"

_Words = tuple[Word, ...]
_Check = Callable[[_Words], str | None]

_NEVER_HARMFUL = names(
    """: true false exit ls pwd cd pushd popd dirs echo which whereis type stat du df uname whoami id groups basename
    dirname realpath readlink seq sleep free uptime lscpu lsmem nproc arch tty printenv locale getconf test ["""
)
_PRINTS_FILES = names(
    """cat head tail wc grep egrep fgrep cut tr nl od hexdump strings diff cmp comm join paste tac rev fold fmt expand
    unexpand column md5sum sha1sum sha224sum sha256sum sha384sum sha512sum b2sum cksum base64 jq zcat"""
)
_TELLS_VERSION = names(
    """python python3 pip pip3 uv node npm git cargo rustc gcc g++ clang make cmake go java nvcc docker conda ninja
    ruff pytest mypy torchrun accelerate hf huggingface-cli bash sh gh ffmpeg"""
)
_LISTS_NAMES = names("find git ls rg fd grep")
_KEEPS_NAMES = names("grep egrep fgrep sort head tail uniq tac")

_CHANGES_EXECUTION = re.compile(
    r"(PATH|IFS|ENV|CDPATH|HOME|SHELL|SHELLOPTS|BASHOPTS|GLOBIGNORE|FPATH|PS\d|PROMPT_COMMAND|EDITOR|VISUAL|BROWSER"
    r"|TMPDIR|GCONV_PATH|GLIBC_TUNABLES|LOCPATH|TERMINFO|HOSTALIASES|OPTIND|POSIXLY_CORRECT|GREP_OPTIONS|TREE_COLORS"
    r"|.*PAGER|.*_OPTIONS|.*_PRELOAD|.*_CONFIG.*|.*PROXY"
    r"|(LD|DYLD|BASH|GIT|SSH|PYTHON|PIP|UV|CONDA|VIRTUAL|PERL|RUBY|NODE|NPM|JAVA|LESS|RIPGREP|RUST|CARGO|MAKE|XDG|DOCKER"
    r"|MALLOC|NSS|LUA|JQ|FZF).*)",
    re.IGNORECASE,
)


def changes_execution(name: str) -> bool:
    """Whether setting this variable can change what a command does or which program it is."""
    return bool(_CHANGES_EXECUTION.fullmatch(name)) or not re.fullmatch(r"[A-Za-z_]\w*", name)


@dataclass(frozen=True, slots=True)
class _Options:
    """What is refused among a program's arguments.

    `short` are letters refused in any cluster of short options, `long` long options refused with every abbreviation,
    `positionals` how many other words there may be; `values` are short options that take the next word.
    """

    short: str = ""
    long: tuple[str, ...] = ()
    positionals: int | None = None
    values: str = ""

    def __call__(self, words: _Words) -> str | None:
        texts = [word.text for word in words]
        end = texts.index("--") if "--" in texts else len(texts)
        count, at = len(texts[end + 1 :]), 0
        while at < end:
            text = texts[at]
            if text.startswith("--"):
                if refused := self._refused_long(text.split("=", 1)[0]):
                    return f"option {refused}"
            elif text.startswith("-") and len(text) > 1:
                if set(text[1:]) & set(self.short):
                    return f"option {text}"
                at += len(text) == 2 and text[1] in self.values
            else:
                count += 1
            at += 1
        return "an output file" if self.positionals is not None and count > self.positionals else None

    def _refused_long(self, name: str) -> str | None:
        hit = any(refused.startswith(name) or name.startswith(f"{refused}-") for refused in self.long)
        return name if hit else None


def _only(pattern: str) -> _Check:
    """Every word must look like one of these."""
    allowed = re.compile(pattern, re.DOTALL)

    def check(words: _Words) -> str | None:
        odd = next((word.text for word in words if not allowed.fullmatch(word.text)), None)
        return None if odd is None else f"argument {odd}"

    return check


def _date(words: _Words) -> str | None:
    texts = [word.text for word in words]
    while texts:
        text = texts.pop(0)
        if text in {"-d", "--date", "-r", "--reference"}:
            del texts[:1]
        elif not re.fullmatch(r"(\+|-[uRI]|--(utc|rfc-|iso-8601|date=|reference=)).*", text, re.DOTALL):
            return f"argument {text}"
    return None


def _read(words: _Words) -> str | None:
    odd = next((word.text for word in words if not re.fullmatch(r"-[rs]+|[A-Za-z_]\w*", word.text)), None)
    harmful = next((word.text for word in words if word.text[:1] != "-" and changes_execution(word.text)), None)
    return f"argument {odd or harmful}" if odd or harmful else None


def _find(words: _Words) -> str | None:
    refused = re.compile(r"-(delete|exec|ok|fprint|fls).*", re.DOTALL)
    odd = next((word.text for word in words if refused.fullmatch(word.text)), None)
    return None if odd is None else f"action {odd}"


def _ps(words: _Words) -> str | None:
    # In the BSD style, without a dash, `e` adds the environment of every process, and there are keys in there.
    shows_environment = any("e" in word.text for word in words[:1] if re.fullmatch(r"[A-Za-z]+", word.text))
    named = any("env" in word.text.lower() for word in words)
    return "the environment of processes" if shows_environment or named else None


def _sub_commands(*allowed: str) -> _Check:
    """The first words must be one of these, and none of the rest may name a file to write."""
    known = [tuple(text.split()) for text in allowed]

    def check(words: _Words) -> str | None:
        texts = tuple(word.text for word in words)
        if not any(texts[: len(start)] == start for start in known):
            return f"{SUB_COMMAND}{' '.join(texts[:2])}" if texts else "no sub-command"
        return _Options(long=("--log", "--report", "--output-file", "--python", "--config-file"))(words)

    return check


_SED_ADDRESS = r"(\d+|\$|/(\\.|[^/\\\n\[])*/)"


def _sed_commands() -> re.Pattern[str]:
    """Commands that print, delete, quit or substitute; not `e`, `w`, `r`, nor `s` with such a flag."""
    substitutes = []
    for delimiter in map(re.escape, "/|#,:@"):
        # A bracket expression may hold the delimiter, where sed and a reader disagree about the end: not accepted.
        body = rf"(\\.|[^{delimiter}\\\n\[]|\[(?!\^?\])[^\]{delimiter}\\\n]+\])*"
        substitutes.append(rf"s{delimiter}{body}{delimiter}{body}{delimiter}[gpiI\d]*")
    one = rf"({_SED_ADDRESS}([,~]{_SED_ADDRESS})?)?[ \t]*!?[ \t]*([pdq=]|{'|'.join(substitutes)})[ \t]*"
    return re.compile(rf"[ \t]*{one}([;\n][;\n \t]*{one})*;?\s*")


_SED = _sed_commands()


def _sed(words: _Words) -> str | None:
    scripts, at, rest = [], 0, 0
    while at < len(words):
        text = words[at].text
        if re.fullmatch(r"-[nErzsu]*e|--expression", text):
            at += 1
            scripts.append(words[at].text if at < len(words) else "")
        elif text.startswith("-") and len(text) > 1:
            if not re.fullmatch(r"-[nErzsu]+|--(quiet|silent|regexp-extended|null-data|separate)", text):
                return f"option {text}"
        else:
            rest += 1
            if rest == 1 and not any(re.fullmatch(r"-[nErzsu]*e|--expression", word.text) for word in words):
                scripts.append(text)
        at += 1
    harmless = scripts and all(len(text) < 500 and _SED.fullmatch(text) for text in scripts)
    return None if harmless else "a script that is not plainly harmless"


def _awk(words: _Words) -> str | None:
    at = 0
    while at < len(words) and words[at].text.startswith("-"):
        text = words[at].text
        if not re.match(r"-[Fv]", text):
            return f"option {text}"
        at += 2 if len(text) == 2 else 1
    program = words[at].text if at < len(words) else ""
    risky = re.search(r"[>|@]|\\(?![nt\"/.])|system|getline|ARGV|ARGC|ENVIRON|PROCINFO", program)
    return "a script that is not plainly harmless" if risky or not program else None


def _test(words: _Words) -> str | None:
    # `-v 'a[$(x)]'` runs x; `>` is a comparison to the grammar and a redirection to `[`; a plain POSIX shell takes `[[`
    # for a program and what follows `||` for a command.
    odd = next((word.text for word in words if word.text in {"-v", "-R"} or _is_operator(word.text)), None)
    return None if odd is None else f"operator {odd}"


def _is_operator(text: str) -> bool:
    return text != "&&" and bool(re.search(r"[|<>();&`]|=~", text))


def _double_test(words: _Words) -> str | None:
    # The operands of these are evaluated as arithmetic, and `a[$(x)]` in there runs x.
    numeric = next((word.text for word in words if re.fullmatch(r"-(eq|ne|lt|le|gt|ge)", word.text)), None)
    return f"operator {numeric}" if numeric else _test(words)


_STRICT: dict[str, _Check] = {
    "[": _test,
    "[[": _double_test,
    "test": _test,
    "awk": _awk,
    "conda": _sub_commands("list", "info", "env list"),
    "date": _date,
    "fd": _Options(short="xX", long=("--exec", "--exec-batch")),
    "file": _Options(short="C", long=("--compile",)),
    "find": _find,
    "gawk": _awk,
    "git": git_changes,
    "hostname": _only(r"-[fsiId]|--(fqdn|short|ip-address)"),
    "mawk": _awk,
    "nvidia-smi": _only(
        r"-L|-q|-x|-d|-i|-l|-lms|\d+|[A-Z,_]+|--list-gpus|--(query|format|id|loop)[\w-]*(=.*)?|topo|-m"
    ),
    "pip": _sub_commands("list", "show", "freeze", "check", "--version"),
    "pip3": _sub_commands("list", "show", "freeze", "check", "--version"),
    "printf": lambda words: "option -v" if words and words[0].text.startswith("-v") else None,
    "ps": _ps,
    "read": _read,
    "rg": _Options(short="z", long=("--pre", "--hostname-bin", "--search-zip")),
    "sed": _sed,
    "shuf": _Options(short="o", long=("--output",)),
    "sort": _Options(short="oT", long=("--output", "--compress-program", "--temporary-directory")),
    "tree": _Options(short="oR", long=("--output",)),
    "uniq": _Options(positionals=1, values="fsw"),
    "uv": _sub_commands("pip list", "pip show", "pip freeze", "pip tree", "pip check", "tree --frozen", "--version"),
    "xxd": _Options(positionals=1, values="clsgo"),
}
_STRICT_PRINTS_FILES = names("awk gawk mawk sed rg sort uniq xxd shuf git")
_LENIENT = names("[ [[ test printf read hostname")
"""Programs with a check, but safe with words that are only known when they run."""


def why_changing(call: Call, home: str) -> str | None:
    """Why a call is not taken for one that only looks; None if it only looks."""
    name = call.program
    if call.powers:
        return f"`{' '.join(filter(None, [*call.powers, name]))}` may change something"
    if call.unclear:
        return call.unclear
    if not name:
        return "which program it runs is only known when it runs"
    harmful = next((setting for setting in call.settings if changes_execution(setting)), None)
    if harmful:
        return f"it sets {harmful}, which can change what a command does"
    words = call.arguments
    if name in _TELLS_VERSION and [word.text for word in words] in (["--version"], ["-V"]):
        return None
    if name in {"env", "xargs", "command"}:
        return None if name == "command" or not words else f"`{name}` may change something"
    if call.program not in _STRICT and name not in _NEVER_HARMFUL and name not in _PRINTS_FILES:
        return f"`{name}` may change something"
    return (
        _unknown_words(call, name, words, home) or _refused(name, words) or _reads_everything(call, name, words, home)
    )


def _unknown_words(call: Call, name: str, words: _Words, home: str) -> str | None:
    if name in _LENIENT or name not in (_STRICT.keys() | _PRINTS_FILES):
        return None
    unknown = next((word.text for word in words if not word.known), None)
    if unknown is not None:
        return f"what `{name}` gets for {unknown[:60]} is only known when it runs"
    strict = name in _STRICT
    if strict and any(word.glob and word.text[0] in "*?[" for word in words):
        return f"a file name could be taken for an option of `{name}`"
    if call.fed and (strict or not _fed_with_names(call, home)):
        return f"what `{name}` gets from its input is only known when it runs"
    return None


def _fed_with_names(call: Call, home: str) -> bool:
    """`find src | sort | xargs grep x`: what comes in are names of existing files that nobody could have made up."""
    stages = call.outer.upstream
    if not stages or _first_word(stages[0].words) not in _LISTS_NAMES:
        return False
    low_enough = not any(_is_high_up(word, stages[0].directories, home) for word in stages[0].words[1:])
    return low_enough and all(_first_word(stage.words) in _KEEPS_NAMES for stage in stages[1:])


def _first_word(words: _Words) -> str:
    return words[0].text if words else ""


def _refused(name: str, words: _Words) -> str | None:
    check = _STRICT.get(name)
    found = check(words) if check else None
    if found and found.startswith(SUB_COMMAND):
        return f"`{name} {found.removeprefix(SUB_COMMAND)}` may change something"
    return f"`{name}` with {found} may change something" if found else None


def _reads_everything(call: Call, name: str, words: _Words, home: str) -> str | None:
    """Reading all files below a home directory or `/` reads credentials, without naming one."""
    recursive = name == "rg" or any(
        re.fullmatch(r"-[A-Za-z]*[rR][A-Za-z]*|--(dereference-)?recursive|--directories=recurse", word.text)
        for word in words
    )
    if name not in {"rg", "grep", "egrep", "fgrep", "diff"} or not recursive:
        return None
    # Without a path it searches the directory it runs in; a pattern that looks like one is asked about in vain.
    if any(_is_high_up(word, call.outer.directories, home) for word in (*words, Word("."))):
        return READS_CREDENTIALS
    return None


def _is_high_up(word: Word, directories: tuple[str | None, ...], home: str) -> bool:
    likeliest = directories[-1] if directories else None
    if word.text.startswith(("/", "~", "$")):
        return holds_secrets(word.text, home)
    return likeliest is not None and word.text[:1] == "." and holds_secrets(join_path(likeliest, word.text), home)

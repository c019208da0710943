"""The words of a shell command: what the shell will make of them, as far as that can be known without running it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import islice, product
from typing import TYPE_CHECKING

from agent.light_dataclass import dataclass

if TYPE_CHECKING:
    from tree_sitter import Node

_MAX_ALTERNATIVES = 16
"""A word in a loop may stand for several texts; beyond this many it counts as unknown."""


def names(text: str) -> frozenset[str]:
    """The blank-separated words of a table."""
    return frozenset(text.split())


_SAFE_VARIABLES = names(
    """HOME PWD OLDPWD USER LOGNAME HOSTNAME SHELL LANG TERM TMPDIR UID EUID PATH RANDOM SECONDS LINENO BASH_VERSION
    HF_HOME VIRTUAL_ENV CONDA_PREFIX CONDA_DEFAULT_ENV CUDA_VISIBLE_DEVICES ? # $ !"""
)
"""Variables whose value comes from the person's own environment or is a number, so that no option can hide in it."""

ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_PLAIN_ANSI_C = re.compile(r"\$'((?:[^'\\]|\\[nt\\])*)'", re.DOTALL)
_NEEDS_QUOTES = re.compile(r"[\s;&|<>()'\"`]")


@dataclass(frozen=True, slots=True)
class Word:
    """One word after quote removal. Where `known` is false, `text` is the source text, and the shell will see another.

    `glob` tells of unquoted `*`, `?` or `[`: the shell may put file names in place of the word.
    """

    text: str
    known: bool = True
    glob: bool = False


def render(words: Sequence[Word]) -> str:
    """The words with single blanks between them, quoted only where their borders would be lost."""
    parts = []
    for word in words:
        plain = not word.known or (word.text and not _NEEDS_QUOTES.search(word.text))
        parts.append(word.text if plain else "'" + word.text.replace("'", "'\\''") + "'")
    return " ".join(parts)


def source_text(node: Node) -> str:
    """The node as written."""
    return (node.text or b"").decode("utf-8", "replace")


def walk(node: Node) -> Iterator[tuple[Node, int]]:
    """Every node in source order, with its depth. No recursion: a hostile command may be nested thousands deep."""
    stack = [(node, 0)]
    while stack:
        current, depth = stack.pop()
        yield current, depth
        stack.extend((child, depth + 1) for child in reversed(current.children))


class Variables:
    """What the variables of a script can hold.

    Only a variable that is set once, to text that is itself known, has known values; where in the script it is set does
    not matter, which errs on the side of not knowing.
    """

    def __init__(self) -> None:
        self._values: dict[str, tuple[str, ...] | None] = {}

    def set(self, name: str, values: Sequence[str] | None) -> None:
        """Note one place that sets the variable; None where the value is not known."""
        again = name in self._values
        self._values[name] = None if again or values is None or len(values) > _MAX_ALTERNATIVES else tuple(values)

    def words(self, name: str, source: str) -> list[Word]:
        """The variable's possible values, or one unknown word."""
        if name in self._values:
            values = self._values[name]
            return [Word(source, known=False)] if values is None else [_value(value) for value in values]
        return [Word(f"${name}")] if name in _SAFE_VARIABLES else [Word(source, known=False)]


def _value(text: str) -> Word:
    return Word(text, glob=any(sign in text for sign in "*?["))


def argument(node: Node, variables: Variables) -> list[tuple[Word, ...]]:
    """What an argument can become: alternatives, each of any number of words (an unquoted variable is split)."""
    if node.type in {"simple_expansion", "expansion"}:
        return [
            tuple(_value(part) for part in word.text.split()) if word.known else (word,)
            for word in _expansion(node, variables)
        ]
    if node.type == "process_substitution":
        return [(Word(source_text(node)),)]  # the shell puts a path such as /dev/fd/63: no option, no secret
    return [(word,) for word in pieces(node, variables)]


def pieces(node: Node, variables: Variables, quoted: bool = False) -> list[Word]:
    """The possible texts of a node that stays one word."""
    text = source_text(node)
    match node.type:
        case "word" | "number" | "test_operator" | "variable_name" if not node.child_count:
            return [_plain(text)]
        case "raw_string":
            return [Word(text[1:-1])]
        case "ansi_c_string":
            plain = _PLAIN_ANSI_C.fullmatch(text)
            return [Word(_unescape_ansi_c(plain[1])) if plain else Word(text, known=False)]
        case "string_content":
            return [Word(re.sub(r'\\([\\"$`])', r"\1", text))]
        case "simple_expansion" | "expansion":
            found = _expansion(node, variables)
            # Outside quotes, blanks in a value would split the word: too many shapes to follow.
            split = not quoted and any(not word.text or re.search(r"\s", word.text) for word in found)
            return [Word(text, known=False)] if split else found
        case "string":
            return _join(node, [child for child in node.children if child.type != '"'], variables, quoted=True)
        case "concatenation" | "command_name":
            joined = _join(node, node.children, variables, quoted=False)
            return [Word(text, known=False, glob=True)] if node.child_count > 1 and _has_braces(node) else joined
        case _:
            return [Word(text, known=False)]


def _plain(raw: str) -> Word:
    bare = ESCAPED.sub("", raw)
    if "{" in bare and ("," in bare or ".." in bare):
        return Word(raw, known=False, glob=True)
    return Word(ESCAPED.sub(r"\1", raw), glob=any(sign in bare for sign in "*?["))


def _has_braces(node: Node) -> bool:
    """Whether `{a,b}` or `{1..3}` occurs unquoted, which the shell turns into several words."""
    bare = "".join(source_text(child) for child in node.children if child.type in {"word", "brace_expression"})
    return "{" in bare and ("," in bare or ".." in bare)


def _unescape_ansi_c(body: str) -> str:
    return re.sub(r"\\([nt\\])", lambda m: {"n": "\n", "t": "\t", "\\": "\\"}[m[1]], body)


def _expansion(node: Node, variables: Variables) -> list[Word]:
    """`$name` and `${name}`; every other expansion is unknown."""
    text = source_text(node)
    name = re.fullmatch(r"\$(?:\{([A-Za-z_]\w*)\}|([A-Za-z_]\w*|[?#$!]))", text)
    return variables.words(name[1] or name[2], text) if name else [Word(text, known=False)]


def _join(node: Node, children: Sequence[Node], variables: Variables, *, quoted: bool) -> list[Word]:
    """The children's texts joined, with what stands between them."""
    if not children:
        return [Word("")]
    parts: list[list[Word]] = []
    source = node.text or b""
    at = node.start_byte + (1 if quoted else 0)
    for child in children:
        if child.start_byte > at:
            gap = source[at - node.start_byte : child.start_byte - node.start_byte]
            parts.append([Word(gap.decode("utf-8", "replace"))])
        parts.append(pieces(child, variables, quoted))
        at = child.end_byte
    combinations = list(islice(product(*parts), _MAX_ALTERNATIVES + 1))
    if len(combinations) > _MAX_ALTERNATIVES:
        return [Word(source.decode("utf-8", "replace"), known=False)]
    return [
        Word(
            "".join(part.text for part in combination),
            known=all(part.known for part in combination),
            glob=not quoted and any(part.glob for part in combination),
        )
        for combination in combinations
    ]


def combine(arguments: Sequence[list[tuple[Word, ...]]]) -> list[tuple[Word, ...]]:
    """Every command that can come of the alternatives; if there are too many, one whose varying words are unknown."""
    combinations = list(islice(product(*arguments), _MAX_ALTERNATIVES + 1))
    if len(combinations) <= _MAX_ALTERNATIVES:
        return [tuple(word for group in combination for word in group) for combination in combinations]
    fixed: list[Word] = []
    for alternatives in arguments:
        fixed += alternatives[0] if len(alternatives) == 1 else (Word("$…", known=False),)
    return [tuple(fixed)]

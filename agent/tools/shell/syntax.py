"""Reads a bash command into its simple commands. It decides nothing; it only says where reading was not certain.

The grammar (tree-sitter-bash) and the real shell do not agree on everything, so a tree without errors is not trusted as
it stands: the module `suspicion` looks for the places where the two are known to part, and makes the script opaque.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator
from dataclasses import field
from functools import cache
from typing import TYPE_CHECKING

from agent.light_dataclass import dataclass
from agent.tools.shell.suspicion import odd_characters, suspicion
from agent.tools.shell.words import Variables, Word, argument, combine, names, pieces, source_text, walk

if TYPE_CHECKING:
    from tree_sitter import Language, Node, Parser

MAX_BYTES = 20_000
"""Longer commands are not parsed: the grammar needs quadratic time on some texts."""

_MAX_DEPTH = 60
_MAX_NODES = 20_000
_MAX_COMMANDS = 400
_MAX_DIRECTORIES = 8
_MAX_UPSTREAM = 20


@dataclass(frozen=True, slots=True)
class SimpleCommand:
    """A program with its arguments, as the shell would start it.

    `settings` are the names of variables set for this command alone, `upstream` the commands before it in its pipeline,
    `inner` those inside its words (`$(...)`). `directories` are where it may run, the likeliest last; None: unknown.
    """

    words: tuple[Word, ...]
    settings: tuple[str, ...] = ()
    upstream: tuple[SimpleCommand, ...] = ()
    inner: tuple[SimpleCommand, ...] = ()
    directories: tuple[str | None, ...] = ()


@dataclass(frozen=True, slots=True)
class Redirect:
    """Input or output sent elsewhere: `operator` as written, without the descriptor number."""

    operator: str
    target: Word
    directory: str | None


@dataclass(slots=True)
class Script:
    """What was found in a command text.

    `mentions` are all words, wherever they stand, with the directories they may be relative to; `fed_texts` the texts
    of here-documents and here-strings. `hazard` says why it cannot count as only looking although it was understood,
    `opaque` why it was not understood for certain; both name the first reason.
    """

    commands: list[SimpleCommand] = field(default_factory=list)
    redirects: list[Redirect] = field(default_factory=list)
    settings: list[str] = field(default_factory=list)
    mentions: list[tuple[Word, tuple[str | None, ...]]] = field(default_factory=list)
    fed_texts: list[str] = field(default_factory=list)
    background: bool = False
    hazard: str | None = None
    opaque: str | None = None


_BEYOND_BMP = re.compile("[\U00010000-\U0010ffff]")
"""Characters that crash the parser now and then (tree-sitter-bash 0.25: segmentation faults were seen of random texts,
probably since it looks them up in a table that has no place for them). To a shell they are letters of a word, and so is
what stands for them."""


@cache
def _language() -> Language:
    # Imported here because it loads native code, and most starts of the program never parse a command.
    import tree_sitter
    import tree_sitter_bash

    return tree_sitter.Language(tree_sitter_bash.language())


def load_parser() -> None:
    """What the first command that is read takes, for those who can wait. Blocking: native code is loaded."""
    _language()


def _parser() -> Parser:
    """One for each use: a parser that two threads use at once brings the whole program down."""
    import tree_sitter

    return tree_sitter.Parser(_language())


def read_script(text: str, directory: str | None) -> Script:
    """Parse a command that runs in `directory`. Never raises; what cannot be read is `opaque`."""
    script = Script(opaque=odd_characters(text))
    text = _BEYOND_BMP.sub("\ufffd", text)
    if len(text) > MAX_BYTES or len(source := text.encode("utf-8", "replace")) > MAX_BYTES:
        script.opaque = "it is too long to be analysed"
        return script
    root = _parser().parse(source).root_node
    too_deep = None
    for count, (_, depth) in enumerate(walk(root)):
        if depth > _MAX_DEPTH or count > _MAX_NODES:
            too_deep = "it is nested too deeply to be analysed"
            break
    if too_deep:
        script.opaque = too_deep
        return script
    script.opaque = script.opaque or suspicion(root, source)
    _Reader(script, _variables(root), directory).visit(root, ())
    return script


_SETTERS = names("read mapfile readarray getopts printf export declare local typeset readonly let unset")


def _variables(root: Node) -> Variables:
    """Collect what the script's own variables can hold."""
    variables = Variables()
    for node, _ in walk(root):
        if node.type == "variable_assignment" and node.parent is not None:
            target, value = node.children[0], node.children[2] if node.child_count > 2 else None
            # `A=1 cmd` sets A for cmd only, after the words have been expanded; `A+=` and `A[1]=` are not followed.
            plain = target.type == "variable_name" and node.parent.type in {"program", "list", "variable_assignments"}
            known: list[str] | None = None
            if plain and node.children[1].type == "=":
                words = pieces(value, variables) if value is not None else [Word("")]
                known = [word.text for word in words] if all(word.known for word in words) else None
            variables.set(source_text(target), known)
        elif node.type == "for_statement":
            variables.set(*_loop(node, variables))
        elif node.type in {"command", "declaration_command", "unset_command"}:
            names = [source_text(child) for child in node.children]
            if names and names[0] in _SETTERS:
                for name in names[1:]:
                    variables.set(name.strip("'\""), None)
    return variables


def _loop(node: Node, variables: Variables) -> tuple[str, list[str] | None]:
    """The variable of a for loop and the words it goes through."""
    name, values = "", []
    for child in node.named_children:
        if child.type == "variable_name":
            name = source_text(child)
        elif child.type != "do_group":
            values += [word for alternative in argument(child, variables) for word in alternative]
    return name, [word.text for word in values] if values and all(word.known for word in values) else None


_STRUCTURE = names(
    """program list subshell compound_statement if_statement elif_clause else_clause do_group while_statement
    negated_command heredoc_body command_substitution process_substitution string concatenation
    variable_assignments command_name array expansion simple_expansion"""
)
_LEAVES = names(
    """word number raw_string ansi_c_string string_content variable_name special_variable_name comment heredoc_start
    heredoc_content heredoc_end file_descriptor test_operator regex extglob_pattern brace_expression"""
)
_HAZARDS = {
    "function_definition": "it defines a function",
    "c_style_for_statement": "it computes with shell arithmetic",
    "case_statement": "it contains a case statement",
    "case_item": "it contains a case statement",
    "subscript": "it uses array elements",
    "binary_expression": "it computes with shell arithmetic",
    "unary_expression": "it computes with shell arithmetic",
    "postfix_expression": "it computes with shell arithmetic",
    "ternary_expression": "it computes with shell arithmetic",
    "parenthesized_expression": "it computes with shell arithmetic",
}
_OWN_DIRECTORY = frozenset({"subshell", "command_substitution", "process_substitution"})


class _Reader:
    """Goes through the tree once and fills a Script."""

    def __init__(self, script: Script, variables: Variables, directory: str | None) -> None:
        self._script = script
        self._variables = variables
        self._directories: tuple[str | None, ...] = (directory,)
        self._special = {
            "command": self._command,
            "declaration_command": self._command,
            "unset_command": self._command,
            "test_command": self._test,
            "pipeline": self._pipeline,
            "redirected_statement": self._redirected,
            "file_redirect": self._redirect,
            "herestring_redirect": self._herestring,
            "heredoc_redirect": self._heredoc,
            "variable_assignment": self._assignment,
            "for_statement": self._for,
            "arithmetic_expansion": self._arithmetic,
        }

    def visit(self, node: Node, upstream: tuple[SimpleCommand, ...]) -> None:
        script = self._script
        if len(script.commands) > _MAX_COMMANDS:
            script.opaque = script.opaque or "it has too many commands to be analysed"
        elif (special := self._special.get(node.type)) is not None:
            special(node, upstream)
        elif not node.is_named:
            if node.type == "((":
                script.hazard = script.hazard or "it computes with shell arithmetic"
            script.background |= node.type == "&"
        else:
            if node.type in _HAZARDS:
                script.hazard = script.hazard or _HAZARDS[node.type]
            elif node.type == "expansion" and not _harmless_expansion(source_text(node)):
                script.hazard = script.hazard or "it computes a variable in an unusual way"
            elif node.type not in _STRUCTURE and node.type not in _LEAVES:
                script.opaque = script.opaque or "it could not be parsed as a shell command"
            before = self._directories
            self._children(node.children, upstream)
            if node.type in _OWN_DIRECTORY:
                self._directories = before

    def _children(self, nodes: Iterable[Node], upstream: tuple[SimpleCommand, ...]) -> None:
        for node in nodes:
            self.visit(node, upstream)

    def _mention(self, node: Node) -> list[tuple[Word, ...]]:
        alternatives = argument(node, self._variables)
        self._script.mentions += [(word, self._directories) for words in alternatives for word in words]
        return alternatives

    def _command(self, node: Node, upstream: tuple[SimpleCommand, ...]) -> None:
        script = self._script
        settings: list[str] = []
        arguments: list[list[tuple[Word, ...]]] = []
        first, touching = len(script.commands), -1
        is_declaration = node.type != "command"
        for child in node.children:
            if child.type in {"file_redirect", "herestring_redirect", "heredoc_redirect"}:
                self.visit(child, upstream)
                continue
            if child.start_byte == touching:
                script.opaque = script.opaque or "the borders of a word are unclear"
            touching = child.end_byte
            if child.type == "variable_assignment" and not arguments:
                settings.append(source_text(child.children[0]))
                self._children(child.children, ())
                self._mention_value(child)
                continue
            self.visit(child, ())
            is_name = child.type == "command_name" and child.child_count == 1
            target = child.children[0] if is_name else child
            keyword = is_declaration and not child.is_named
            arguments.append([(Word(source_text(child)),)] if keyword else self._mention(target))
        inner = tuple(script.commands[first:])
        for words in combine(arguments):
            command = SimpleCommand(words, tuple(settings), upstream, inner, self._directories)
            script.commands.append(command)
        if arguments:
            self._change_directory(script.commands[-1].words)

    def _change_directory(self, words: tuple[Word, ...]) -> None:
        if not words or words[0].text not in {"cd", "pushd"}:
            return
        targets = [word for word in words[1:] if not word.text.startswith("-") or word.text == "-"]
        target: str | None = targets[0].text if targets else "~"
        if target == "-" or (targets and not targets[0].known):
            target = None
        new = tuple(None if None in (old, target) else join_path(old or "", target or "") for old in self._directories)
        self._directories = tuple(dict.fromkeys([*self._directories, *new]))[-_MAX_DIRECTORIES:]
        likeliest = new[-1]
        self._directories = (*(old for old in self._directories if old != likeliest), likeliest)

    def _test(self, node: Node, _upstream: tuple[SimpleCommand, ...]) -> None:
        if b"\n" in (node.text or b""):
            self._script.hazard = self._script.hazard or "a condition goes over several lines"
        words: list[Word] = []
        for part in _operands(node):
            if part.is_named:
                self.visit(part, ())
                words += [word for alternative in self._mention(part) for word in alternative]
            else:
                words.append(Word(source_text(part)))
        self._script.commands.append(SimpleCommand(tuple(words), directories=self._directories))

    def _pipeline(self, node: Node, upstream: tuple[SimpleCommand, ...]) -> None:
        for child in node.children:
            first = len(self._script.commands)
            self.visit(child, upstream)
            upstream = (*upstream, *self._script.commands[first:])[-_MAX_UPSTREAM:]

    def _redirected(self, node: Node, upstream: tuple[SimpleCommand, ...]) -> None:
        first = len(self._script.commands)
        for child in node.children:
            # The grammar hangs what follows `<<EOF` on its line, such as `| grep x`, below the here-document.
            fed = (*upstream, *self._script.commands[first:]) if child.type == "heredoc_redirect" else upstream
            self.visit(child, fed[-_MAX_UPSTREAM:])

    def _redirect(self, node: Node, _upstream: tuple[SimpleCommand, ...]) -> None:
        operator = next((child.type for child in node.children if not child.is_named), "?")
        targets = [child for child in node.named_children if child.type != "file_descriptor"]
        self._children(targets, ())
        for target in targets:
            words = [word for alternative in self._mention(target) for word in alternative]
            self._script.redirects += [Redirect(operator, word, self._directories[-1]) for word in words]
        if not targets:
            self._script.redirects.append(Redirect(operator, Word("-"), None))

    def _herestring(self, node: Node, _upstream: tuple[SimpleCommand, ...]) -> None:
        self._children(node.named_children, ())
        for child in node.named_children:
            self._script.fed_texts += [word.text for alternative in self._mention(child) for word in alternative]

    def _heredoc(self, node: Node, upstream: tuple[SimpleCommand, ...]) -> None:
        for child in node.children:
            if child.type == "heredoc_body":
                self._script.fed_texts.append(source_text(child))
            self.visit(child, upstream)

    def _assignment(self, node: Node, _upstream: tuple[SimpleCommand, ...]) -> None:
        self._script.settings.append(source_text(node.children[0]))
        self._children(node.children, ())
        self._mention_value(node)

    def _mention_value(self, node: Node) -> None:
        for value in node.children[2:]:
            for part in value.named_children if value.type == "array" else [value]:
                self._mention(part)

    def _for(self, node: Node, _upstream: tuple[SimpleCommand, ...]) -> None:
        for child in node.children:
            if child.type == "variable_name":
                self._script.settings.append(source_text(child))
            elif child.is_named and child.type != "do_group":
                self._mention(child)
            self.visit(child, ())

    def _arithmetic(self, node: Node, _upstream: tuple[SimpleCommand, ...]) -> None:
        # A variable's value is itself evaluated, and `a[$(command)]` in it would run the command.
        if not re.fullmatch(r"\$(\(\(|\[)[\d\s+*/%<>=!&|^~?:()-]*(\)\)|\])", source_text(node)):
            self._script.hazard = self._script.hazard or "it computes with shell arithmetic"
            self._children(node.children, ())


def _operands(node: Node) -> Iterator[Node]:
    """The words and operators of `[ ... ]` and `[[ ... ]]`, however they are grouped."""
    for child in node.children:
        grouped = child.type in {"unary_expression", "binary_expression", "parenthesized_expression"}
        yield from _operands(child) if grouped else (child,)


def _harmless_expansion(text: str) -> bool:
    """`${name}` and the forms that only cut, replace or default; not `${!x}`, `${x@P}`, `${x:=y}`, `${x:offset}`."""
    return bool(re.match(r"\$\{(#?\w+(\[[@*\d]+\])?\}|\w+(\[[@*\d]+\])?(:?[-+?]|%|#|/|\^|,))", text))


def join_path(directory: str, path: str) -> str:
    """`path` as seen from `directory`, both as written in a shell; `~` and `$HOME` begin an absolute path."""
    if path.startswith(("/", "~", "$HOME", "${HOME}")):
        return path
    return posixpath.join(directory, path)

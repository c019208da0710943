"""`ml-intern mcp list|add|remove|test`: the MCP servers of the person's settings."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from agent.cli.args import mcp_parser
from agent.cli.exit_codes import ExitCode
from agent.cli.user_config import read_user_file, user_file, write_user_file
from agent.config import ConfigError, LoadedConfig, McpServer, describe, load_config, state_dir
from agent.config_loading import printable
from agent.config_values import InvalidValuesError
from agent.hub.tokens import resolve_hf_token
from agent.light_dataclass import dataclass
from agent.llm.credentials import clean_hf_token
from agent.redaction.live import LiveSecrets, child_environment
from agent.redaction.names import is_secret_name
from agent.tools.mcp.addresses import Place, address_text, secrets_of
from agent.tools.mcp.server import RemoteServer
from agent.ui.sanitize import clip

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,39}")
_VARIABLE = re.compile(r"\$\{[A-Za-z_][^}]*\}")


class UsageError(Exception):
    """What was asked for cannot be done that way."""


@dataclass(frozen=True, slots=True)
class _Setting:
    """Where the command runs, and the person's file."""

    environ: Mapping[str, str]
    cwd: Path
    out: TextIO
    file: Path
    config_file: Path | None

    def load(self) -> LoadedConfig:
        """The settings as a session would have them. Raises `ConfigError`."""
        return load_config(environ=self.environ, cwd=self.cwd, config_file=self.config_file)


def run_mcp(argv: Sequence[str], *, environ: Mapping[str, str], cwd: Path, out: TextIO) -> int:
    """Carry out `ml-intern mcp` with the words after it; returns the exit code.

    Results go to `out`; errors are one line on stderr.
    """
    name, *rest = argv
    if name in ("-h", "--help"):
        print(_overview(), file=out)
        return ExitCode.OK
    if name.startswith("-"):
        name, rest = "list", list(argv)
    words, program = _divided(rest) if name == "add" else (rest, [])
    try:
        parsed, other = mcp_parser(name).parse_known_args(words)
        if name == "add" and other and not other[0].startswith("-") and not program:
            _complain(f"the command of a program comes after --: ml-intern mcp add {parsed.name} -- {' '.join(other)}")
            return ExitCode.USAGE
        if other:
            mcp_parser(name).error(f"unrecognized arguments: {' '.join(other)}")
    except SystemExit as end:  # argparse has said why
        return end.code if isinstance(end.code, int) else ExitCode.USAGE
    file = user_file(environ, cwd, parsed.config)
    setting = _Setting(environ, cwd, out, file, Path(parsed.config) if parsed.config else None)
    try:
        return _COMMANDS[name](parsed, program, setting)
    except (UsageError, ConfigError) as error:
        _complain(str(error))
        return ExitCode.USAGE
    except OSError as error:
        _complain(f"{setting.file} cannot be written ({error.strerror or error})")
        return ExitCode.ERROR


def _overview() -> str:
    lines = [f"  ml-intern mcp {name:<7} {mcp_parser(name).description}" for name in _COMMANDS]
    return "\n".join(["usage: ml-intern mcp [list|add|remove|test] ...", "", *lines, "", "Each has a --help."])


def _complain(text: str) -> None:
    for line in text.split("\n"):
        print(f"ml-intern: {clip(line, 1_000)}", file=sys.stderr)


def _divided(words: list[str]) -> tuple[list[str], list[str]]:
    """What stands before and after the first `--`."""
    at = words.index("--") if "--" in words else len(words)
    return words[:at], words[at + 1 :]


# --- list ------------------------------------------------------------------------------------------------------------


def _list(parsed: argparse.Namespace, _program: list[str], setting: _Setting) -> int:
    rows = _rows(setting.load())
    if parsed.json:
        print(json.dumps(rows, indent=2, ensure_ascii=False), file=setting.out)
    elif not rows:
        print("No MCP servers. 'ml-intern mcp add --help' says how to add one.", file=setting.out)
    else:
        table = [("name", "kind", "where"), *((row["name"], row["kind"], row["where"]) for row in rows)]
        widths = [max(len(row[column]) for row in table) for column in range(2)]
        files = sorted({row["file"] for row in rows})
        for row, file in zip(table, ["", *(row["file"] for row in rows)], strict=True):
            cells = [f"{cell:<{width}}" for cell, width in zip(row, widths, strict=False)]
            source = f"  (in {file})" if file and len(files) > 1 else ""
            print("  ".join([*cells, row[2] + source]).rstrip(), file=setting.out)
        if len(files) == 1:
            print(f"All of {files[0]}.", file=setting.out)
    return ExitCode.OK


def _rows(loaded: LoadedConfig) -> list[dict[str, str]]:
    """One for each server, secrets masked by the rules of `config show`."""
    shown = {key: json.loads(value) for key, value, _ in describe(loaded)}
    rows = []
    for name, server in sorted(loaded.config.mcpServers.items()):
        key = f"mcpServers.{printable(name)}"
        main = "command" if server.command else "url"
        where = " ".join([str(shown.get(f"{key}.{main}", "")), *map(str, shown.get(f"{key}.args", ()))])
        for secret in secrets_of(server):
            where = where.replace(secret, "***")
        layer = loaded.layers.get(f"{key}.{main}")
        kind = "stdio" if server.command else server.transport or "http"
        source = printable(layer.source or layer.name) if layer else ""
        rows.append({"name": printable(name), "kind": kind, "where": clip(where, 200), "file": source})
    return rows


# --- add, remove -----------------------------------------------------------------------------------------------------


def _add(parsed: argparse.Namespace, program: list[str], setting: _Setting) -> int:
    name = parsed.name
    if not _NAME.fullmatch(name):
        raise UsageError(f"{clip(name, 60)!r} cannot be a name: use letters, digits, '.', '_' and '-', at most 40")
    data = read_user_file(setting.file)
    servers = _servers_in(data, setting.file)
    if name in servers:
        raise UsageError(f"{name} is in {setting.file} already; 'ml-intern mcp remove {name}' removes it")
    entry = _entry(parsed, program)
    data["mcpServers"] = {**servers, name: entry}
    write_user_file(setting.file, data, is_private=bool({"env", "headers"} & entry.keys()))
    print(f"Added {name} to {setting.file}. 'ml-intern mcp test {name}' tries it.", file=setting.out)
    for variable in dict.fromkeys(re.findall(r"\$\{(\w+)\}", json.dumps(entry))):
        if variable not in setting.environ:
            text = f"{variable} is not set: ml-intern does not start without it. Export it, or put it into .env."
            print(text, file=setting.out)
    for key in _literal_secrets(entry):
        _complain(f"{key} is in the file as you gave it; '${{A_VARIABLE}}' in single quotes would keep it out")
    try:
        setting.load()
    except ConfigError as error:
        _complain(str(error))
    return ExitCode.OK


def _entry(parsed: argparse.Namespace, program: list[str]) -> dict[str, Any]:
    """What goes into the file, checked. Raises `UsageError`."""
    if bool(parsed.url) == bool(program):
        raise UsageError("give either --url URL, or after -- the command that starts the server")
    if (parsed.url and parsed.env) or (program and (parsed.header or parsed.transport)):
        raise UsageError("--env goes with a command, --header and --transport go with --url")
    entry: dict[str, Any]
    if program:
        entry = {"command": program[0]}
        if program[1:]:
            entry["args"] = program[1:]
        if parsed.env:
            entry["env"] = dict(_pair(text, "=", "--env NAME=VALUE") for text in parsed.env)
    else:
        entry = {"url": parsed.url}
        if parsed.transport:
            entry["transport"] = parsed.transport
        if parsed.header:
            entry["headers"] = dict(_pair(text, ":", "--header 'Name: value'") for text in parsed.header)
    is_open = "url" in entry and _VARIABLE.match(entry["url"])  # only known once it is read
    try:
        McpServer.of(entry | ({"url": "http://later"} if is_open else {}))
    except InvalidValuesError as error:
        raise UsageError(error.problems[0][1]) from None
    return entry


def _pair(text: str, separator: str, form: str) -> tuple[str, str]:
    name, found, value = text.partition(separator)
    if not found or not name.strip():
        raise UsageError(f"write {form}")
    return name.strip(), value if separator == "=" else value.strip()


def _literal_secrets(entry: Mapping[str, Any]) -> list[str]:
    """The keys of secrets that are written out."""
    named = [
        (f"{part} {name}", name, value) for part in ("env", "headers") for name, value in entry.get(part, {}).items()
    ]
    return [key for key, name, value in named if is_secret_name(name) and not _VARIABLE.search(value)]


def _remove(parsed: argparse.Namespace, _program: list[str], setting: _Setting) -> int:
    data = read_user_file(setting.file)
    servers = _servers_in(data, setting.file)
    if parsed.name not in servers:
        there = f"; there is: {', '.join(map(printable, servers))}" if servers else ""
        raise UsageError(f"there is no MCP server {clip(parsed.name, 60)} in {setting.file}{there}")
    data["mcpServers"] = {name: entry for name, entry in servers.items() if name != parsed.name}
    write_user_file(setting.file, data)
    print(f"Removed {parsed.name} from {setting.file}.", file=setting.out)
    return ExitCode.OK


def _servers_in(data: Mapping[str, Any], file: Path) -> dict[str, Any]:
    servers = data.get("mcpServers") or {}
    if not isinstance(servers, dict):
        raise UsageError(f"{file}: mcpServers is not an object; mend it by hand")
    return servers


# --- test ------------------------------------------------------------------------------------------------------------


def _test(parsed: argparse.Namespace, _program: list[str], setting: _Setting) -> int:
    loaded = setting.load()
    config = loaded.config
    server = config.mcpServers.get(parsed.name)
    if server is None:
        there = f"; there is: {', '.join(map(printable, config.mcpServers))}" if config.mcpServers else ""
        raise UsageError(f"there is no MCP server {clip(parsed.name, 60)} in your settings{there}")
    token = clean_hf_token(resolve_hf_token(setting.environ))
    secrets = LiveSecrets(setting.environ, {"HF_TOKEN": token})
    for text in secrets_of(server):
        secrets.add(f"MCP {parsed.name}", text)
    place = Place(
        workspace=setting.cwd,
        child_env=child_environment(setting.environ, tuple(config.child_env)),
        log_dir=state_dir(setting.environ) / "logs" / "mcp",
        hf_token=token,
    )
    logging.basicConfig(handlers=[logging.NullHandler()])  # else warnings of libraries go to stderr
    return asyncio.run(_try(RemoteServer(parsed.name, server, place, scrub=secrets.scrub), server, setting.out))


async def _try(remote: RemoteServer, server: McpServer, out: TextIO) -> int:
    try:
        if not await remote.connect():
            _complain(f"MCP server {remote.name} ({address_text(server)}) is not available: {remote.problem}")
            return ExitCode.ERROR
        version = f" ({clip(remote.version, 80)})" if remote.version else ""
        count = len(remote.tools)
        tools = f"{count} tool{'' if count == 1 else 's'}"
        if remote.left_out:
            tools = f"{count} of {count + len(remote.left_out)} tools (a request to a model has no room for more)"
        print(f"{remote.name}{version}: {tools}, {remote.connected_in_s or 0:.1f} s", file=out)
        for tool in remote.tools:
            mark = "only looks" if tool.only_reads else "asks first"
            print(f"  {clip(tool.name, 60)}  ({mark})  {clip(tool.description, 100)}".rstrip(), file=out)
        if remote.left_out:
            print(f"  left out: {', '.join(clip(name, 60) for name in remote.left_out)}", file=out)
        return ExitCode.OK
    finally:
        await remote.close()


_COMMANDS: dict[str, Callable[[argparse.Namespace, list[str], _Setting], int]] = {
    "list": _list,
    "add": _add,
    "remove": _remove,
    "test": _test,
}

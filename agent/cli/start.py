"""Wiring: from what the person typed to a running session. The only place where the parts are put together."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import platform
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import field, replace
from datetime import date
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.cli.args import Arguments
from agent.cli.config_checks import check_rules, unknown_settings
from agent.cli.dotenv_layers import load_dotenv_layers, own_environment
from agent.cli.exit_codes import ExitCode
from agent.cli.log_setup import set_up_logging
from agent.cli.stdin_prompt import PromptError, PromptInput, read_prompt
from agent.config import Config, ConfigError, cache_dir, config_dir, load_config, state_dir
from agent.config_loading import expand_path, home_dir
from agent.core.surroundings import Surroundings
from agent.hub.tokens import resolve_hf_token, token_of_environment
from agent.hub.whose import remembered_user
from agent.light_dataclass import dataclass
from agent.llm.auto import DEMO, choose_model
from agent.llm.credentials import clean_hf_token
from agent.llm.local import detect_local_servers
from agent.llm.params import (
    UnknownModelError,
    describe_provider,
    describe_route,
    missing_credentials,
    resolve_route,
)
from agent.protocol.events import ErrorRaised, Event
from agent.protocol.messages import new_id, utc_now
from agent.redaction.live import LiveSecrets
from agent.sessions.errors import SessionError
from agent.ui.renderer import Renderer

if TYPE_CHECKING:
    from agent.cli.sharing import Uploads
    from agent.core.agent_loop import Resumption
    from agent.sessions.index import SessionInfo

logger = logging.getLogger(__name__)

AUTO = "auto"


class StartError(Exception):
    """The program cannot start; the text says why and what to do, `code` is what to exit with."""

    def __init__(self, text: str, code: ExitCode, kind: str) -> None:
        super().__init__(text)
        self.code = code
        self.kind = kind


@dataclass(frozen=True, slots=True)
class Model:
    """The model to start with, and the line that says so."""

    name: str
    notice: str


@dataclass(frozen=True, slots=True)
class Request:
    """A session that the person asks for. `own_environ`: see `agent.cli.dotenv_layers.own_environment`."""

    arguments: Arguments
    config: Config
    prompt: PromptInput
    cwd: Path
    own_environ: Mapping[str, str] = field(repr=False)

    @property
    def headless(self) -> bool:
        """Whether nobody is there to talk to."""
        return self.prompt.text is not None


def run(arguments: Arguments) -> int:
    """Do what the person asked for; returns the exit code. Errors that are theirs to mend are one line on stderr."""
    try:
        return _run(arguments)
    except (ConfigError, PromptError) as error:
        _warn(str(error))
        return ExitCode.USAGE


def _run(arguments: Arguments) -> int:
    cwd = _working_directory()
    dotenv = load_dotenv_layers(os.environ, cwd)
    os.environ.update(dotenv.environ)  # the model library reads keys from the process environment
    for warning in dotenv.warnings:
        _warn(warning)
    if arguments.command == "mcp":
        from agent.cli.mcp_command import run_mcp

        return run_mcp(arguments.rest, environ=os.environ, cwd=cwd, out=sys.stdout)
    loaded = load_config(
        environ=os.environ,
        cwd=cwd,
        config_file=Path(arguments.config_file) if arguments.config_file else None,
        flags=arguments.flags,
    )
    for text in loaded.notes:
        _warn(text)
    if arguments.config_file:  # whatever reads or writes the person's file later in this run means this one
        os.environ["ML_INTERN_CLI_CONFIG"] = str(expand_path(arguments.config_file, os.environ, cwd))
    if arguments.command == "sessions":
        from agent.cli.rewind_command import run_rewind

        return run_rewind(arguments.rest[1:], loaded.config, _surroundings(cwd, None, headless=True), sys.stdout)
    if arguments.command == "config show":
        from agent.cli.config_command import show_config

        show_config(loaded, sys.stdout, as_json=arguments.as_json)
        return ExitCode.OK
    if arguments.command in ("ps", "gc"):
        return asyncio.run(_see_to_work(arguments, loaded.config, cwd))
    prompt = read_prompt(arguments, sys.stdin)
    for text in prompt.notices:
        _warn(text)
    return asyncio.run(_start(Request(arguments, loaded.config, prompt, cwd, own_environment(dotenv, cwd))))


async def _see_to_work(arguments: Arguments, config: Config, cwd: Path) -> int:
    """`ml-intern ps` and `ml-intern gc`."""
    from agent.core.services import create_services

    hf_token = await asyncio.to_thread(resolve_hf_token, os.environ)
    services = create_services(config, _surroundings(cwd, hf_token, headless=True))
    place, places = state_dir(os.environ), services.backends
    if arguments.command == "ps":
        from agent.cli.ps_command import run_ps

        return await run_ps(place, places, sys.stdout, as_json=arguments.as_json, now=utc_now())
    from agent.cli.gc_command import run_gc

    return await run_gc(
        place,
        places,
        sys.stdout,
        ids=arguments.rest,
        everything=arguments.everything,
        dry_run=arguments.dry_run,
        as_json=arguments.as_json,
        now=utc_now(),
    )


def _working_directory() -> Path:
    try:
        return Path.cwd()
    except OSError as error:
        raise PromptError(
            f"the current directory cannot be used ({error.strerror}); change to one that exists"
        ) from error


async def _start(request: Request) -> int:
    renderer = _headless_renderer(request.arguments) if request.headless else None
    try:
        return await _start_session(request, renderer)
    except (StartError, UnknownModelError, SessionError) as error:
        code = error.code if isinstance(error, StartError) else ExitCode.USAGE
        kind = error.kind if isinstance(error, StartError) else "usage"
        if renderer is None:
            _warn(str(error))
        else:
            renderer.handle(Event(ErrorRaised(str(error), kind)))
            _finish(renderer, code)
        return code


async def _start_session(request: Request, renderer: Renderer | None) -> int:
    arguments, config, cwd = request.arguments, request.config, request.cwd
    check_rules(config.permissions)
    for warning in unknown_settings(os.environ):
        _warn(warning)
    saved = await _saved_session(arguments, cwd, headless=request.headless)
    if saved is not None and "model_name" not in arguments.flags and _is_known_model(saved.model):
        config = replace(config, model_name=saved.model)
    hf_token = await _hf_token(config, headless=request.headless)
    secrets = LiveSecrets(os.environ, {"HF_TOKEN": hf_token})
    set_up_logging(state_dir(os.environ), secrets, debug=arguments.debug)
    model = await _choose_model(config, hf_token)
    if model is None and not request.headless:
        from agent.cli.first_run import ask_for_model

        first = await ask_for_model(os.environ)
        if first is None:
            return ExitCode.CREDENTIALS
        model, hf_token = Model(first.model_name, first.because), first.hf_token or hf_token
        secrets.add("HF_TOKEN", hf_token)
    if model is None:
        raise StartError(NO_MODEL, ExitCode.CREDENTIALS, "no_credentials")
    _check_route(model, hf_token)
    is_demo = model.name == DEMO and saved is None
    workspace = Path(tempfile.mkdtemp(prefix="ml-intern-demo-")) if is_demo else cwd
    surroundings = _surroundings(workspace, hf_token, headless=request.headless)
    resumption = _resumption(arguments, saved)
    if renderer is not None:
        return await _run_prompt(request, config, model, surroundings, renderer, resumption)
    if saved is None:
        surroundings = replace(surroundings, first_session_id=new_id())
    session_id = surroundings.first_session_id if saved is None else saved.id
    return await _converse(request, config, model, surroundings, resumption, session_id)


def _uploads(request: Request, config: Config, surroundings: Surroundings) -> Uploads:
    from agent.cli.sharing import Uploads

    return Uploads.of(config, surroundings, request.own_environ, request.cwd)


def _check_route(model: Model, hf_token: str | None) -> None:
    """Raise `StartError` if the model cannot be called."""
    if problem := missing_credentials(resolve_route(model.name), os.environ, hf_token):
        raise StartError(problem, ExitCode.CREDENTIALS, "no_credentials")


async def _run_prompt(
    request: Request,
    config: Config,
    model: Model,
    surroundings: Surroundings,
    renderer: Renderer,
    resumption: Resumption | None,
) -> int:
    uploads = _uploads(request, config, surroundings)
    surroundings, arguments = uploads.surroundings, request.arguments
    route = resolve_route(model.name)
    _warn(f"{model.notice}{describe_route(route, os.environ)}; workspace {surroundings.workspace}")
    from agent.cli.headless import run_headless

    settings = replace(config, model_name=model.name, mode="yolo", yolo_mode=True)
    await uploads.begin(_warn)
    try:
        code = await run_headless(
            settings, surroundings, request.prompt.text or "", renderer, not arguments.no_stream, resumption
        )
    finally:
        await uploads.end()
    _finish(renderer, code)
    return _unless_unwritten(renderer, code)


def _unless_unwritten(renderer: Renderer, code: int) -> int:
    """`code`, or 1 where the answer could not be written. A reader that left (`| head -1`) has what it wanted."""
    failure = getattr(getattr(renderer, "out", None), "failure", None)
    if failure is None or isinstance(failure, BrokenPipeError):
        return code
    _warn(f"the answer could not be written: {getattr(failure, 'strerror', None) or failure}")
    return code or ExitCode.ERROR


async def _saved_session(arguments: Arguments, cwd: Path, *, headless: bool) -> SessionInfo | None:
    """The session that the person wants to go on with; None to begin a new one."""
    wanted = arguments.resume
    if wanted is None:
        return None
    if wanted.which == "":
        if headless:
            text = "Say which session: --resume ID, or --continue for the latest one of this directory."
            raise StartError(text, ExitCode.USAGE, "usage")
        return await _picked_session(cwd)
    from agent.cli.saved_sessions import find_session, latest_session

    return await (latest_session(cwd) if wanted.which is None else find_session(wanted.which, cwd))


async def _picked_session(cwd: Path) -> SessionInfo | None:
    _check_terminal()
    from agent.cli.saved_sessions import pick_session

    try:
        return await pick_session(cwd)
    except (EOFError, KeyboardInterrupt):
        raise StartError("No session was chosen.", ExitCode.INTERRUPTED, "usage") from None


def _check_terminal() -> None:
    if not sys.stdout.isatty():
        text = (
            "No prompt, and the output is not a terminal: give a prompt (ml-intern 'do this'), or run it in a terminal."
        )
        raise StartError(text, ExitCode.USAGE, "usage")


def _is_known_model(name: str) -> bool:
    try:
        resolve_route(name)
    except UnknownModelError:
        return False
    return True


def _resumption(arguments: Arguments, saved: SessionInfo | None) -> Resumption | None:
    if saved is None or arguments.resume is None:
        return None
    from agent.core.agent_loop import Resumption

    return Resumption(saved.path, fork=arguments.resume.fork, keep_model="model_name" in arguments.flags)


async def _converse(
    request: Request,
    config: Config,
    model: Model,
    surroundings: Surroundings,
    resumption: Resumption | None,
    session_id: str | None,
) -> int:
    _check_terminal()
    from agent.cli.interactive import run_interactive

    where = "in a sandbox" if config.tool_runtime == "sandbox" else "here"
    place = f"{model.notice}{describe_provider(resolve_route(model.name), os.environ)}; tools run {where}"
    settings = replace(config, model_name=model.name)
    return await run_interactive(
        settings,
        surroundings,
        partial(_uploads, request, config, surroundings),
        place,
        None if resumption is not None and resumption.fork else session_id,
        stream=not request.arguments.no_stream,
        resumption=resumption,
    )


NO_MODEL = """\
No model to work with. Do one of these:
  set a key         ANTHROPIC_API_KEY, OPENAI_API_KEY or HF_TOKEN, in the environment or in a .env file here
  log in            hf auth login
  run one locally   ollama serve (or vLLM, LM Studio, llama.cpp on its default port)
  try the demo      ml-intern --model replay/demo "train a small classifier\""""


async def _hf_token(config: Config, *, headless: bool) -> str | None:
    """The person's HF token. A headless run of a script takes none but the environment's: it starts at once."""
    if headless and config.model_name.startswith("replay/"):
        return token_of_environment(os.environ)
    return await asyncio.to_thread(resolve_hf_token, os.environ)


async def _choose_model(config: Config, hf_token: str | None) -> Model | None:
    """The configured model, or for `auto` the first one that can work here."""
    if config.model_name != AUTO:
        return Model(config.model_name, "")
    choice = choose_model(os.environ, hf_token, ())
    if choice is None:
        choice = choose_model(os.environ, hf_token, await detect_local_servers(os.environ))
    return Model(choice.model_name, f"{choice.because}: ") if choice else None


def _surroundings(workspace: Path, hf_token: str | None, *, headless: bool) -> Surroundings:
    return Surroundings(
        workspace=workspace.resolve(),
        state_dir=state_dir(os.environ),
        config_dir=config_dir(os.environ),
        home=home_dir(os.environ),
        environ=os.environ,
        platform=f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        today=date.today(),
        headless=headless,
        hf_token=hf_token,
        hf_user=remembered_user(cache_dir(os.environ), clean_hf_token(hf_token)),
    )


def _headless_renderer(arguments: Arguments) -> Renderer:
    if arguments.output_format == "text":
        from agent.ui.text import TextRenderer

        return TextRenderer(sys.stdout, sys.stderr, verbose=arguments.debug)
    from agent.ui.json_lines import JsonResultRenderer, StreamJsonRenderer

    return JsonResultRenderer(sys.stdout) if arguments.output_format == "json" else StreamJsonRenderer(sys.stdout)


def _finish(renderer: Any, code: int) -> None:
    """Tell a renderer that reports the exit code, and let it print what it still holds."""
    if finish := getattr(renderer, "finish", None):
        finish(code)
    renderer.close()


def _warn(text: str) -> None:
    with contextlib.suppress(OSError):  # nobody can be told that stderr is full
        print(f"ml-intern: {text}", file=sys.stderr)

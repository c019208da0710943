"""The first start without any key: a short choice that can always be left."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence

from prompt_toolkit import PromptSession
from prompt_toolkit.history import InMemoryHistory

from agent.light_dataclass import dataclass
from agent.llm.auto import DEMO, choose_model
from agent.llm.credentials import env_name
from agent.llm.local import LocalServer, detect_local_servers
from agent.llm.params import clean_hf_token, url_host
from agent.llm.providers import HF_TOKENS_URL, PROVIDERS, RouteKind
from agent.ui.sanitize import clip

logger = logging.getLogger(__name__)

TOKEN_PREFIXES = ("hf_", "api_")
"""How Hugging Face tokens begin: now, and once."""
CHECK_TIMEOUT_S = 20.0
MOST_NAMED = 3
MOST_MODELS = 20

_COLUMNS = 100
_USE = "use a model of "

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class FirstChoice:
    """What the person settled on."""

    model_name: str
    because: str
    hf_token: str | None = None


async def ask_for_model(environ: Mapping[str, str], say: Say = print) -> FirstChoice | None:
    """Ask until there is a model; None when the person leaves (q, Enter alone, Ctrl-C, Ctrl-D, no terminal any more).

    Everything but the questions themselves is shown through `say`.
    """
    return await _FirstRun(environ, say).ask()


class _FirstRun:
    def __init__(self, environ: Mapping[str, str], say: Say) -> None:
        self._environ = environ
        self._say = say
        self._servers: list[LocalServer] = []

    async def ask(self) -> FirstChoice | None:
        self._servers = await detect_local_servers(self._environ)
        self._say(_choices(self._servers, self._environ))
        while True:
            answer = await _answer("1, 2, 3 or q: ")
            if answer is None or answer.lower() in ("", "q", "quit", "exit"):
                return None
            if (choice := await self._act(answer)) is not None:
                return choice

    async def _act(self, answer: str) -> FirstChoice | None:
        if answer == "1":
            return await self._paste_token()
        if answer == "2":
            return await self._local_model()
        if answer == "3":
            return FirstChoice(DEMO, "")
        self._say("Please answer 1, 2, 3 or q.")
        return None

    async def _paste_token(self) -> FirstChoice | None:
        """Read a token without showing it, check it, and keep it where `hf auth login` keeps it."""
        token = clean_hf_token(await _answer("Token (hidden, empty to go back): ", hidden=True))
        if token is None:
            return None
        if not token.startswith(TOKEN_PREFIXES) or len(token.split()) > 1:
            self._say("That does not look like a Hugging Face token: they begin with hf_. Nothing was stored.")
            return None
        self._say("Checking the token …")
        if problem := await _store_token(token):
            self._say(problem.text)
            if problem.is_refusal:
                return None
        choice = choose_model(self._environ, token, ())
        return FirstChoice(choice.model_name, "", token) if choice else None

    async def _local_model(self) -> FirstChoice | None:
        """The model of a local server; where several are there, the one that the person picks."""
        self._servers = await detect_local_servers(self._environ)
        found = [(model_id, server) for server in self._servers for model_id in server.model_ids][:MOST_MODELS]
        if not found:
            self._say(_no_model(self._servers))
            return None
        number = "1"
        if len(found) > 1:
            self._say("\n".join(f"  {index:>2}  {clip(model_id, 70)}" for index, (model_id, _) in enumerate(found, 1)))
            number = await _answer(f"Which model, 1 to {len(found)} (empty to go back): ") or ""
        if not number:
            return None
        if not number.isdecimal() or len(number) > 3 or not 1 <= int(number) <= len(found):
            self._say(f"There is no model {clip(number, 20)} in the list.")
            return None
        model_id, server = found[int(number) - 1]
        return FirstChoice(model_id, f"{_place(server)}: ")


async def _answer(question: str, *, hidden: bool = False) -> str | None:
    """What was typed, stripped; None for Ctrl-C, Ctrl-D, and where nobody can type any more."""
    prompt: PromptSession[str] = PromptSession(history=InMemoryHistory())
    try:
        return (await prompt.prompt_async(question, is_password=hidden)).strip()
    except (EOFError, KeyboardInterrupt):
        return None


# --- what is shown ----------------------------------------------------------------------------------------------------


def _choices(servers: Sequence[LocalServer], environ: Mapping[str, str]) -> str:
    local = [f"{_USE}{_place(server)}: {_models(server)}" for server in servers if server.model_ids]
    lines = [
        "There is no key for a model yet. What shall it be?",
        f"  1  paste a Hugging Face token ({HF_TOKENS_URL})",
        f"  2  {local[0] if local else 'look again for a local server (none answers yet)'}",
        *(f"     or of {more.removeprefix(_USE)}" for more in local[1:]),
        "  3  watch the demo, which needs neither key nor network",
        "  q  leave",
        "Or set ANTHROPIC_API_KEY or OPENAI_API_KEY, here or in a .env file, and start",
        "again. With a key of another provider (GEMINI_API_KEY, OPENROUTER_API_KEY, …)",
        "name the model, too: ml-intern --model gemini/<name>",
    ]
    return "\n".join(lines + _keys_that_are_there(environ))


def _keys_that_are_there(environ: Mapping[str, str]) -> list[str]:
    direct = (provider for provider in PROVIDERS if provider.kind is RouteKind.DIRECT)
    keyed = ((env_name(environ, *provider.key_envs), provider) for provider in direct)
    return [f"{name} is set: ml-intern --model {provider.prefixes[0]}/<name>" for name, provider in keyed if name]


def _place(server: LocalServer) -> str:
    return f"{server.provider.label} at {url_host(server.base_url)}"


def _models(server: LocalServer) -> str:
    ids = server.model_ids
    more = f" and {len(ids) - MOST_NAMED} more" if len(ids) > MOST_NAMED else ""
    return clip(", ".join(ids[:MOST_NAMED]), _COLUMNS) + more


def _no_model(servers: Sequence[LocalServer]) -> str:
    if servers:
        return (
            f"{_place(servers[0])} answers, but has no model that can chat. Load one, for example:  ollama pull qwen3"
        )
    return (
        "No local server answers. Start Ollama, vLLM, LM Studio or llama.cpp, for example with\n"
        "ollama serve  and  ollama pull qwen3, then look again."
    )


# --- the token --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _TokenProblem:
    """What is wrong. Only a refusal speaks against the token: a Hub that cannot be reached does not."""

    text: str
    is_refusal: bool


async def _store_token(token: str) -> _TokenProblem | None:
    """Check the token at the Hub and store it, off the event loop."""
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            await asyncio.to_thread(_login, token)
    except Exception as error:  # the door to the Hub: refusal, no network, a read-only home
        logger.warning("the pasted token could not be checked and stored", exc_info=True)
        if _is_refusal(error):
            text = "The Hub does not accept this token. Copy it again, or make a new one."
            return _TokenProblem(text, is_refusal=True)
        text = "The token could not be checked or stored now; it is used for this session only."
        return _TokenProblem(text, is_refusal=False)
    return None


def _is_refusal(error: Exception) -> bool:
    from huggingface_hub.errors import HfHubHTTPError

    if isinstance(error, HfHubHTTPError):
        return error.response.status_code in (401, 403)
    return isinstance(error, ValueError)


def _login(token: str) -> None:
    from huggingface_hub import login

    login(token=token, add_to_git_credential=False, skip_if_logged_in=False)

"""The first start without any key: a short choice that can always be left."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass

from prompt_toolkit import PromptSession
from prompt_toolkit.history import InMemoryHistory

from agent.llm.auto import choose_model
from agent.llm.local import detect_local_servers
from agent.llm.params import clean_hf_token
from agent.llm.replay import DEMO

logger = logging.getLogger(__name__)

CHOICES = """\
There is no key for a model yet. What shall it be?
  1  paste a Hugging Face token (https://huggingface.co/settings/tokens)
  2  use a local server (Ollama, vLLM, LM Studio, llama.cpp)
  3  watch the demo, which needs neither key nor network
  q  leave"""


@dataclass(frozen=True, slots=True)
class FirstChoice:
    """What the person settled on."""

    model_name: str
    because: str
    hf_token: str | None = None


async def ask_for_model(environ: Mapping[str, str]) -> FirstChoice | None:
    """Ask until there is a model; None when the person leaves (q, Ctrl-C, Ctrl-D)."""
    prompt: PromptSession[str] = PromptSession(history=InMemoryHistory())
    print(CHOICES)
    try:
        while True:
            answer = (await prompt.prompt_async("1, 2, 3 or q: ")).strip().lower()
            if answer in ("q", "quit", "exit"):
                return None
            choice = await _act(answer, environ)
            if choice is not None:
                return choice
    except (EOFError, KeyboardInterrupt):
        return None


async def _act(answer: str, environ: Mapping[str, str]) -> FirstChoice | None:
    if answer == "1":
        return await _paste_token(environ)
    if answer == "2":
        return await _local_server(environ)
    if answer == "3":
        return FirstChoice(DEMO, "")
    print("Please answer 1, 2, 3 or q.")
    return None


async def _paste_token(environ: Mapping[str, str]) -> FirstChoice | None:
    """Read a token without showing it, check it, and keep it where `hf auth login` keeps it."""
    hidden: PromptSession[str] = PromptSession(history=InMemoryHistory())
    token = clean_hf_token(await hidden.prompt_async("Token (hidden, empty to go back): ", is_password=True))
    if token is None:
        return None
    if not token.startswith(("hf_", "api_")) or len(token.split()) > 1:
        print("That does not look like a Hugging Face token: they begin with hf_. Nothing was stored.")
        return None
    problem = await asyncio.to_thread(_store_token, token)
    if problem:
        print(problem)
        return None
    choice = choose_model(environ, token, ())
    return FirstChoice(choice.model_name, "", token) if choice else None


def _store_token(token: str) -> str | None:
    """Check and store the token; returns what is wrong with it. An unreachable Hub is no objection to a token."""
    from huggingface_hub import login
    from huggingface_hub.errors import HfHubHTTPError

    try:
        login(token=token, add_to_git_credential=False, skip_if_logged_in=False)
    except (HfHubHTTPError, ValueError):
        logger.info("the pasted token was refused", exc_info=True)
        return "The Hub does not accept this token. Copy it again, or make a new one."
    except Exception:  # no network, a read-only home: the token may still be good
        logger.warning("the pasted token could not be checked or stored", exc_info=True)
        print("The token could not be checked or stored now; it is used for this session only.")
    return None


async def _local_server(environ: Mapping[str, str]) -> FirstChoice | None:
    servers = await detect_local_servers(environ)
    choice = choose_model({}, None, servers)
    if choice is None:
        print("No local server answers. Start one, for example:  ollama serve  and  ollama pull qwen3")
        return None
    return FirstChoice(choice.model_name, f"{choice.because}: ")

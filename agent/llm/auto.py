"""`model_name: "auto"`: the model that works with what is here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from agent.light_dataclass import dataclass
from agent.llm.credentials import env_name, has_aws_credentials, router_token
from agent.llm.local import LocalServer
from agent.llm.params import url_host
from agent.llm.providers import HF_ROUTER
from agent.llm.routes import is_valid_model_id

ANTHROPIC_MODEL = "anthropic/claude-opus-4-8"
OPENAI_MODEL = "openai/gpt-5.5"
ROUTER_MODEL = "anthropic/claude-opus-4.8:fal-ai"
BEDROCK_MODEL = "bedrock/us.anthropic.claude-opus-4-8"
DEMO = "replay/demo"
"""The model id of the bundled demonstration, which is never chosen by itself."""


@dataclass(frozen=True, slots=True)
class AutoChoice:
    """A model that can be used here. `because` is for the person: `ANTHROPIC_API_KEY is set`."""

    model_name: str
    because: str


def choose_model(environ: Mapping[str, str], hf_token: str | None, servers: Sequence[LocalServer]) -> AutoChoice | None:
    """The first that fits: Anthropic key, OpenAI key, HF token, AWS credentials, a local server; None if nothing does.

    `hf_token` is what the caller found besides the environment (the login); `servers` those that answered.
    """
    if name := env_name(environ, "ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"):
        return AutoChoice(ANTHROPIC_MODEL, f"{name} is set")
    if name := env_name(environ, "OPENAI_API_KEY"):
        return AutoChoice(OPENAI_MODEL, f"{name} is set")
    if router_token(environ, hf_token):
        name = env_name(environ, *HF_ROUTER.key_envs)
        return AutoChoice(ROUTER_MODEL, f"{name} is set" if name else "you are logged in to Hugging Face")
    if has_aws_credentials(environ):
        return AutoChoice(BEDROCK_MODEL, "AWS credentials are set up")
    for server in servers:
        if (model_name := _first_model(server)) is not None:
            return AutoChoice(model_name, f"{server.provider.label} answers at {url_host(server.base_url)}")
    return None


def _first_model(server: LocalServer) -> str | None:
    """The id of the server's first model that can chat."""
    ids = (f"{server.provider.prefixes[0]}/{model}" for model in server.models if "embed" not in model.lower())
    return next((model_id for model_id in ids if is_valid_model_id(model_id)), None)

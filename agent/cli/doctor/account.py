"""Check of the Hugging Face account: which token, whose, and what it may do."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from agent.cli.doctor.findings import Finding, Findings
from agent.cli.doctor.network import Answer, UnreachableError, get
from agent.cli.doctor.place import Lookups, Place
from agent.llm.credentials import clean_hf_token, env_name
from agent.llm.params import url_host
from agent.llm.providers import HF_TOKENS_URL

HUB_URL = "https://huggingface.co"
_TRUE = {"1", "ON", "YES", "TRUE"}

NEEDED = {
    "repo.write": "create and push repositories",
    "job.write": "run jobs",
    "inference.serverless.write": "call Inference Providers",
}
"""Permissions of a fine-grained token that the agent's work needs, and what for."""


async def hugging_face(place: Place, lookups: Lookups) -> Findings:
    """The token: where it comes from, whether the Hub takes it, and what it may not do."""
    token = clean_hf_token(await lookups.hf_token())
    if token is None:
        cause = "without one nothing can be pushed to the Hub, no job can run, and the HF router serves no model"
        remedy = f"Make a token at {HF_TOKENS_URL} and run `hf auth login`, or set HF_TOKEN."
        return [Finding("HF token", "warning", "none", cause, remedy)]
    source = _source(place)
    if not (token.isascii() and token.isprintable()) or " " in token:
        remedy = f"Copy the whole token again from {HF_TOKENS_URL}."
        return [Finding("HF token", "problem", source, "it holds characters that no token has", remedy)]
    if place.environ.get("HF_HUB_OFFLINE", "").upper() in _TRUE:
        return [Finding("HF token", "skipped", f"{source}: not tried, as HF_HUB_OFFLINE is set")]
    hub = (place.environ.get("HF_ENDPOINT", "").strip() or HUB_URL).rstrip("/")
    try:
        answer = await get(f"{hub}/api/whoami-v2", {"Authorization": f"Bearer {token}"})
    except UnreachableError as error:
        return [Finding("HF token", "problem", f"{source}: could not be tried", str(error), error.remedy)]
    return [_judged(answer, source, url_host(hub))]


def _source(place: Place) -> str:
    name = env_name(place.environ, "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
    if name is None:
        return "from `hf auth login`"
    file = place.dotenv_sources.get(name)
    return f"from {name}" + (f" in {file}" if file else "")


def _judged(answer: Answer, source: str, host: str) -> Finding:
    if answer.status in (401, 403):
        remedy = f"Make a new one at {HF_TOKENS_URL}, then run `hf auth login` or set HF_TOKEN to it."
        return Finding("HF token", "problem", source, f"{host} refuses it ({answer.status})", remedy)
    account = _object(answer.body) if answer.status == 200 else {}
    if not account:
        cause = f"{host} answered {answer.status} without saying whose token it is"
        return Finding("HF token", "warning", source, cause, "Try again later; check HF_ENDPOINT if you have set it.")
    token = _inside(_inside(account, "auth"), "accessToken")
    role = str(token.get("role") or "unknown")
    plan = "pro" if account.get("isPro") is True else "free"
    detail = f"{account.get('name', 'unknown')} ({plan}), role {role}, {source}"
    if role == "read":
        remedy = f"Make a token with the role write at {HF_TOKENS_URL}."
        return Finding("HF token", "warning", detail, "a read token cannot push to the Hub nor run jobs", remedy)
    missing = _missing(token) if role == "fineGrained" else []
    if missing:
        cause = "it may not " + ", ".join(f"{NEEDED[name]} ({name})" for name in missing)
        return Finding("HF token", "warning", detail, cause, f"Allow that at {HF_TOKENS_URL}, as far as you need it.")
    return Finding("HF token", "ok", detail)


def _missing(token: Mapping[str, Any]) -> list[str]:
    granted = set(_permissions(_inside(token, "fineGrained")))
    return [name for name in NEEDED if name not in granted]


def _permissions(rights: Mapping[str, Any]) -> Iterator[str]:
    """Everything that a fine-grained token may do anywhere."""
    scopes = rights.get("scoped")
    lists = [rights.get("global")]
    lists += [_object(scope).get("permissions") for scope in scopes] if isinstance(scopes, list) else []
    yield from (str(name) for names in lists if isinstance(names, list) for name in names)


def _inside(value: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    return _object(value.get(name))


def _object(value: Any) -> Mapping[str, Any]:
    """`value`, or the JSON in it, if it is an object; else an empty one."""
    if isinstance(value, bytes):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return {}
    return value if isinstance(value, Mapping) else {}

"""What a job finds in its environment, and which of it travels as a secret."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import field

from agent.compute.job_commands import default_env
from agent.light_dataclass import dataclass
from agent.llm.masking import mask_secrets
from agent.redaction.names import is_secret_name
from agent.tools.arguments import ArgumentError
from agent.tools.jobs.arguments import RunRequest

TOKEN_NAMES = ("HF_TOKEN", "HUGGINGFACE_HUB_TOKEN")

_PLACEHOLDER = re.compile(r"\$.*|<.*>|\*+|")


@dataclass(frozen=True, slots=True)
class Environment:
    """`env` is visible on the job's page, `secrets` are not. `notes` say what was done differently from what was asked;
    they name names only."""

    env: Mapping[str, str]
    secrets: Mapping[str, str] = field(repr=False)
    notes: tuple[str, ...] = ()

    def secrets_asked(self, request: RunRequest) -> bool:
        """Whether the call hands over more than every work at that place gets: a job always has the account's token."""
        always = TOKEN_NAMES if request.place == "hf_jobs" else ()
        return any(name not in always for name in self.secrets)


def environment(request: RunRequest, token: str | None, scrub: Callable[[str], str]) -> Environment:
    """Defaults, what the call asks for, and the account's token, which is only ever a secret.

    Every job gets the token. Other places have it or not as the person has set them up, unless the call asks for it
    (`"HF_TOKEN": "$HF_TOKEN"`), which the person is told of.
    `scrub` knows the secrets that this program holds: what it would change is one.
    """
    moved = {name: value for name, value in request.env.items() if _is_secret(name, value, scrub)}
    wanted = {**moved, **request.secrets}
    dropped = [name for name, value in wanted.items() if _PLACEHOLDER.fullmatch(value.strip())]
    secrets = {name: value for name, value in wanted.items() if name not in dropped}
    if token and (request.place == "hf_jobs" or any(name in dropped for name in TOKEN_NAMES)):
        secrets |= dict.fromkeys(TOKEN_NAMES, token)
    trackio = {"TRACKIO_SPACE_ID": request.trackio_space_id, "TRACKIO_PROJECT": request.trackio_project}
    defaults = {**default_env(), **{name: value for name, value in trackio.items() if value}}
    env = {**defaults, **{name: value for name, value in request.env.items() if name not in moved}}
    return Environment(env, secrets, _notes(moved, [name for name in dropped if name not in secrets], secrets))


def require_no_secret(request: RunRequest, scrub: Callable[[str], str]) -> None:
    """Raises ArgumentError for a secret of this program among the packages: whoever sees the job can read them."""
    if any(scrub(each) != each for each in request.dependencies):
        raise ArgumentError(
            "`dependencies` holds a secret of this program (a token or key), which whoever sees the job could read. "
            "Leave it out; a job has HF_TOKEN anyway."
        )


def _is_secret(name: str, value: str, scrub: Callable[[str], str]) -> bool:
    return is_secret_name(name) or scrub(value) != value or mask_secrets(value, {}) != value


def _notes(moved: Mapping[str, str], lost: list[str], secrets: Mapping[str, str]) -> tuple[str, ...]:
    kept = [name for name in moved if name in secrets and name not in TOKEN_NAMES]
    notes = []
    if kept:
        notes.append(f"Passed as secrets, not as env, since they look secret: {', '.join(kept)}.")
    if lost:
        notes.append(
            f"Not passed, since there is only a placeholder for a value: {', '.join(lost)}. "
            "Ask the person for it, or for setting it where the job runs."
        )
    return tuple(notes)

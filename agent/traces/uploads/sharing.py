"""Whether sessions are uploaded, and where to: the one place that decides it. Everything here is a pure function.

Nothing is uploaded unless the person has turned it on (`share_traces`), and each of the switches turns all of it off.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Literal

from agent.config import Config
from agent.light_dataclass import dataclass

TargetName = Literal["personal", "organization"]

OFF_SWITCHES = ("ML_INTERN_NO_UPLOAD", "DO_NOT_TRACK")
"""Variables that stop every upload (consoledonottrack.com for the second)."""
ORGANIZATION_TOKEN = "HF_SESSION_UPLOAD_TOKEN"
_NOT_SET = frozenset({"", "0", "false"})
_USER = "{hf_user}"
_REPO_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[\w.-]{1,96}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Tokens:
    """What to sign in with: the person's own token, and the one that is for the organisation's dataset alone."""

    personal: str | None = field(default=None, repr=False)
    organization: str | None = field(default=None, repr=False)

    def of(self, name: TargetName) -> str | None:
        """The token for a target."""
        return self.personal if name == "personal" else self.organization


@dataclass(frozen=True, slots=True)
class Target:
    """A dataset that sessions go to. `repo` may hold `{hf_user}`, for whoever the token belongs to."""

    name: TargetName
    repo: str

    def repo_of(self, user: str | None) -> str:
        """The dataset's id; as it is in the configuration while the user is not known."""
        return self.repo.replace(_USER, user) if user else self.repo

    def named(self, user: str | None) -> str:
        """The same for people to read."""
        return self.repo_of(user).replace(_USER, "<your user name>")

    @property
    def needs_user(self) -> bool:
        """Whether the user has to be known."""
        return _USER in self.repo


@dataclass(frozen=True, slots=True)
class Sharing:
    """Where sessions go. Without `targets` nothing is uploaded, and `why_off` says why, and what would change it."""

    targets: tuple[Target, ...] = ()
    why_off: str = ""

    @property
    def is_on(self) -> bool:
        """Whether anything is uploaded at all."""
        return bool(self.targets)


def switched_off(config: Config, environ: Mapping[str, str]) -> str:
    """Why nothing is uploaded, whatever tokens there are; "" if the person wants uploads."""
    for name in OFF_SWITCHES:
        if environ.get(name, "").strip().lower() not in _NOT_SET:
            return f"{name} is set"
    if not config.share_traces:
        return "share_traces is false (/share-traces on turns it on)"
    if not config.save_sessions:
        return "save_sessions is false, so there is nothing to upload"
    return ""


def decide(config: Config, environ: Mapping[str, str], tokens: Tokens) -> Sharing:
    """Where sessions are uploaded to.

    The organisation's dataset takes part only if both it and a token of its own are configured.
    """
    if why_off := switched_off(config, environ):
        return Sharing(why_off=why_off)
    targets, problems = list[Target](), list[str]()
    if not is_repo_id(config.personal_trace_repo_template):
        problems.append("personal_trace_repo_template is no dataset; write it like {hf_user}/ml-intern-sessions")
    elif not tokens.personal:
        problems.append("there is no Hugging Face token of yours; run `hf auth login`, or set HF_TOKEN")
    else:
        targets.append(Target("personal", config.personal_trace_repo_template))
    organization = config.session_dataset_repo
    if organization and tokens.organization:
        if is_repo_id(organization) and _USER not in organization:
            targets.append(Target("organization", organization))
        else:
            problems.append("session_dataset_repo is no dataset; write it like acme/sessions")
    return Sharing(tuple(targets), "" if targets else "; ".join(problems))


def is_repo_id(template: str) -> bool:
    """Whether `template` becomes the id of a dataset once the user is known."""
    return _REPO_ID.fullmatch(template.replace(_USER, "user")) is not None


def announcement(targets: Sequence[Target], user: str | None) -> str:
    """The line that the person reads before anything goes to these datasets for the first time."""
    names = [target.named(user) for target in targets]
    dataset = "the dataset" if len(names) == 1 else "the datasets"
    kept = "known secrets are taken out first"
    if any(target.name == "personal" for target in targets):
        kept = f"yours is made private; {kept}"
    if any(target.name == "organization" for target in targets):
        kept += "; your organisation can read its own"
    return (
        f"When a session ends it is uploaded to {dataset} {' and '.join(names)} on the Hugging Face Hub ({kept}). "
        'To stop this: /share-traces off, or "share_traces": false, or ML_INTERN_NO_UPLOAD=1.'
    )

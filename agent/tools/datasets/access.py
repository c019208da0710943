"""Why a dataset cannot be looked at, each case told apart, with the next step."""

from __future__ import annotations

from agent.protocol.tools import ToolResult
from agent.tools.datasets.asking import Asker, HubPage, Trouble, TroubleKind
from agent.tools.datasets.structure import Structure
from agent.web.places import DATASETS_SERVER, HUB

_LOGIN = "Log in with `hf auth login` or set HF_TOKEN, if the person has access."
_FILES = (
    'Its files can still be looked at: hf_repo_files(operation="list", repo_type="dataset", repo_id="{name}"), '
    "or a few rows with `datasets.load_dataset(..., streaming=True)`."
)
_OTHER_CASES: dict[TroubleKind, tuple[str, str]] = {
    "not_ready": (
        "The dataset viewer is not ready with {name}.",
        "It prepares the dataset on first asking: try again in a minute or two. If that does not help: {files}",
    ),
    "blocked": ("The dataset viewer does not serve {name}: it is on its block list.", "{files}"),
    "disabled": ("The viewer of {name} is disabled.", "{files}"),
    "private": (
        "{name} is private, and the dataset viewer does not serve it.",
        "For private datasets the viewer needs a PRO account or a Team or Enterprise organisation. {files}",
    ),
    "unsupported": ("The dataset viewer does not support {name} as it is.", "{files}"),
    "failed": (
        "The dataset viewer could not prepare {name}.",
        "Its files may be broken or of a kind it cannot read. {files}",
    ),
    "silent": ("The dataset viewer could not be asked about {name}.", "Try again later. {files}"),
    "missing": (
        "{name} is on the Hub, but the dataset viewer knows nothing of it.",
        "It may be new, empty or of a form the viewer does not read: try again later. {files}",
    ),
    "no_access": (
        "The dataset viewer gives no access to {name}.",
        "Check that the token may read this dataset. {files}",
    ),
    "bad_token": ("The dataset viewer does not accept the token.", "Log in again with `hf auth login`."),
}


def source_of(name: str) -> str:
    """What stands over text of the dataset's authors."""
    return f"dataset {name} on the Hub"


def no_page(name: str, trouble: Trouble, asker: Asker) -> ToolResult | None:
    """The result where the Hub itself refuses; None where it could not be asked, so that the viewer may know."""
    has_token = bool(asker.token)
    if trouble.kind == "bad_token":
        return _failed(name, "The Hugging Face token is not accepted.", trouble, "Log in again with `hf auth login`.")
    if trouble.kind == "missing" or (trouble.kind == "no_access" and trouble.status == 401):
        if has_token:
            text = f"There is no dataset {name}, or it is private and this token may not see it."
            step = "Check the spelling (org/name)."
        else:
            text = f"There is no public dataset {name}: it does not exist, or it is private."
            step = f"Check the spelling (org/name). {_LOGIN}"
        model = f'Is it a model? Then hf_repo_files(operation="list", repo_type="model", repo_id="{name}").'
        return _failed(name, text, trouble, f"{step} {model}")
    if trouble.kind == "no_access":
        step = f"Look at {HUB.base(asker.environ)}/datasets/{name} for how to get access."
        return _failed(name, f"The Hub refuses access to {name}.", trouble, step)
    return None


def no_structure(name: str, page: HubPage | Trouble, structure: Structure, asker: Asker) -> ToolResult:
    """The result where there is no list of splits."""
    trouble = structure.trouble or _without_splits(structure)
    is_refused = trouble.kind in ("missing", "no_access", "bad_token")
    if isinstance(page, Trouble):
        if is_refused:
            text = f"{name} does not exist, or is gated or private: the dataset viewer does not tell which."
            return _failed(name, text, trouble, f"Check the spelling. {_LOGIN}", page)
        return _other(name, trouble)
    if page.is_disabled:
        return _failed(name, f"{name} is disabled on the Hub.", trouble, "Choose another dataset.")
    if is_refused and page.gated:
        return _gated(name, page, trouble, asker)
    if is_refused and page.is_private:
        text, step = _OTHER_CASES["private"]
        return _failed(name, text.format(name=name), trouble, step.format(files=_FILES.format(name=name)))
    return _other(name, trouble)


def _gated(name: str, page: HubPage, trouble: Trouble, asker: Asker) -> ToolResult:
    link = f"{HUB.base(asker.environ)}/datasets/{name}"
    step = f"The person can accept the conditions at {link}"
    step += ", access comes at once." if page.gated == "auto" else "; its authors then decide about each request."
    if not asker.token:
        step = f"Without a token nobody gets access. {step} Then log in with `hf auth login`, or set HF_TOKEN."
    elif not asker.viewer_has_token:
        step += f" (The token is not sent to {DATASETS_SERVER.base(asker.environ)}, which is not the Hub's own.)"
    else:
        step += " A fine-grained token must also allow reading gated repositories."
    return _failed(name, f"{name} is gated, and there is no access to it yet.", trouble, step)


def _other(name: str, trouble: Trouble) -> ToolResult:
    text, step = _OTHER_CASES[trouble.kind]
    return _failed(name, text.format(name=name), trouble, step.format(files=_FILES.format(name=name)))


def _without_splits(structure: Structure) -> Trouble:
    """What an answer without a single split means."""
    if structure.failed:
        return Trouble("failed", f"failed: {'; '.join(structure.failed[:20])}")
    if structure.pending:
        return Trouble("not_ready", f"pending: {'; '.join(structure.pending[:20])}")
    return Trouble("missing", f"{DATASETS_SERVER.name} lists no configs and splits")


def _failed(name: str, text: str, trouble: Trouble, step: str, also: Trouble | None = None) -> ToolResult:
    said = [text, *(f"{each.said[:1].upper()}{each.said[1:]}." for each in (trouble, also) if each is not None)]
    return ToolResult("\n".join(said), ok=False, source=source_of(name), advice=step, display=text)

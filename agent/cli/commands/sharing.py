"""The command about sharing: whether sessions are uploaded to a dataset of the person's own, and who can read it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from agent.cli.commands.registry import command
from agent.cli.commands.wording import sentence
from agent.cli.user_config import set_key, user_file
from agent.config import Config, ConfigError, LoadedConfig, cache_dir, load_config
from agent.hub.account import HubAccount, Threshold, Who
from agent.hub.errors import HubError
from agent.hub.whose import remember_user, remembered_user
from agent.light_dataclass import dataclass
from agent.llm.credentials import clean_hf_token
from agent.protocol.operations import OpType
from agent.ui.sanitize import clip, visible
from agent.ui.tool_lines import counted

if TYPE_CHECKING:
    from agent.cli.app import App
    from agent.traces.uploads.dataset import Dataset, Visibility
    from agent.traces.uploads.entries import Entry
    from agent.traces.uploads.preview import Preview
    from agent.traces.uploads.sharing import Sharing

_USAGE = "Say /share-traces alone, or with on, off, private or public."
_CAUTION = (
    "Redaction goes by rules and misses what they do not know: a password in a sentence, names, private code and data. "
    "Read what you publish before (ml-intern trace view ID shows a session). "
    "What was uploaded earlier becomes public just as it was uploaded then."
)
_LOOK_S = 10.0
_EXCERPT_COLUMNS = 90
_KINDS = 12


class CannotError(Exception):
    """What was asked for is not possible; the text says why and what to do."""


@command("share-traces", "[on|off|private|public]", group="Program", choices=("on", "off", "private", "public"))
async def share_traces(app: App, argument: str) -> None:
    """Show or change whether sessions are uploaded to a dataset of yours, and who can read it.

    on: this session and later ones are uploaded when they end, to a private dataset of your own, with secrets taken
    out as far as rules can find them. off: nothing more is uploaded; what is on the Hub already stays there.

    public shows what redaction changes, and asks before everyone can read the whole dataset. private hides it again.
    """
    act = _ACTIONS.get(argument.lower())
    if act is None:
        app.complain(_USAGE)
        return
    try:
        await act(app)
    except (CannotError, ConfigError, HubError) as error:
        app.complain(sentence(visible(str(error))))


# --- what it is now ---------------------------------------------------------------------------------------------------


async def traces_words(app: App) -> str:
    """What there is to say of uploads in a line, without asking the Hub."""
    from agent.cli.sharing import sharing_words

    def look() -> str:
        try:
            config = load_config(environ=app.environ, cwd=app.workspace).config
        except ConfigError:
            return "unknown while the configuration cannot be read; ml-intern doctor says what is wrong with it"
        token = clean_hf_token(app.hf_token)
        user = remembered_user(cache_dir(app.environ), token)
        return sharing_words(app.state_dir, config, app.environ, hf_token=token, hf_user=user)

    return await asyncio.to_thread(look)


async def _show(app: App) -> None:
    config = (await _settings(app)).config
    sent = await asyncio.to_thread(_sent, app)
    app.say(f"Traces: {await traces_words(app)}" + (f"; {counted(sent, 'session')} uploaded from here" if sent else ""))
    await _show_dataset(app, config)
    app.say("/share-traces on, off, private or public changes it.")


def _sent(app: App) -> int:
    """How many of the sessions here are on the Hub, as far as they had come. Blocks."""
    from agent.traces.uploads.outbox import Outbox

    outbox = Outbox(app.state_dir)
    try:
        return sum(bool(entry.delivery("personal").url) for entry in [*outbox.waiting(), *outbox.done()])
    except OSError:
        return 0


async def _show_dataset(app: App, config: Config) -> None:
    try:
        async with asyncio.timeout(_LOOK_S):
            own = await _own_dataset(app, config)
            dataset = await own.look_up()
    except TimeoutError:
        app.complain(f"The Hub did not say within {_LOOK_S:g} s who can read the dataset: try again later.")
    except CannotError as error:
        app.say(sentence(str(error)))
    except HubError as error:
        app.complain(sentence(visible(str(error))))
    else:
        held = f"; {counted(dataset.sessions, 'session')} in it" if dataset.visibility else ""
        app.say(f"Dataset: {own.url} ({own.readers(dataset.visibility)}{held})")


# --- on, off ----------------------------------------------------------------------------------------------------------


async def _on(app: App) -> None:
    """What is said here is also what the person has to know before anything is sent."""
    from agent.traces.uploads.outbox import Outbox
    from agent.traces.uploads.sharing import announcement

    file, config = await _switched(app, on=True)
    sharing = _sharing(app, config)
    if sharing.why_off:
        raise CannotError(f"{file} says so now, but nothing is uploaded: {sharing.why_off}")
    user = await asyncio.to_thread(remembered_user, cache_dir(app.environ), clean_hf_token(app.hf_token))
    outbox = Outbox(app.state_dir)

    def remember() -> None:
        outbox.remember_told([target.repo_of(user) for target in sharing.targets])
        outbox.retry_all()

    app.say(announcement(sharing.targets, user))
    try:
        await asyncio.to_thread(remember)
    except OSError as error:
        raise CannotError(f"nothing will be uploaded: {app.state_dir} cannot be written ({error.strerror})") from error
    app.say("This session takes part, all of it; those that ended before do not.")
    await app.operate(OpType.CONFIGURE, {"share_traces": True})
    await _show_dataset(app, config)


async def _off(app: App) -> None:
    await app.operate(OpType.CONFIGURE, {"share_traces": False})  # at once, whatever the file says
    await _switched(app, on=False)
    app.say("Nothing is uploaded from now on, this session included, and what waits stays here.")
    app.say("What was uploaded stays on the Hub: /share-traces shows where, /share-traces private hides it.")


async def _switched(app: App, *, on: bool) -> tuple[Path, Config]:
    """Write it into the person's file; the file, and the settings as they are then. Raises `CannotError` where
    something else counts more than the file."""
    file = user_file(app.environ, app.workspace)
    try:
        await asyncio.to_thread(set_key, file, "share_traces", on)
    except OSError as error:
        raise CannotError(f"{file} cannot be written ({error.strerror or error})") from error
    loaded = await _settings(app)
    if loaded.config.share_traces is not on:
        layer = loaded.layers.get("share_traces")
        where = layer.source if layer is not None else "another setting"
        raise CannotError(f"{file} says so now, but {where} says otherwise and counts more: unset it")
    return file, loaded.config


# --- private, public --------------------------------------------------------------------------------------------------


async def _hide(app: App) -> None:
    own, dataset = await _changeable(app)
    if dataset.visibility == "private":
        await _note(app, own, is_public=False)
        app.say(f"{own.url} is private already: only {own.owner} can read it.")
        return
    await own.make(app, "private")
    await _note(app, own, is_public=False)
    app.say(f"{own.url} is private now: only {own.owner} can read it. What others have copied is theirs.")


async def _note(app: App, own: _OwnDataset, *, is_public: bool) -> None:
    """What the person has said of who may read the dataset: nothing goes to a public one without that."""
    from agent.traces.uploads.outbox import Outbox

    def note() -> None:
        outbox = Outbox(app.state_dir)
        outbox.set_published(own.repo_id, is_public)
        outbox.set_trouble("personal", None)

    try:
        await asyncio.to_thread(note)
    except OSError as error:
        raise CannotError(f"this could not be noted: {app.state_dir} cannot be written ({error.strerror})") from error


async def _publish(app: App) -> None:
    from agent.traces.uploads.outbox import Outbox

    own, dataset = await _changeable(app)
    is_public = dataset.visibility == "public"
    if is_public and await asyncio.to_thread(Outbox(app.state_dir).is_published, own.repo_id):
        app.say(f"{own.url} is public already: everyone can read it. /share-traces private hides it.")
        return
    if is_public:
        app.say(f"{own.url} is public already, but not by a word of yours here: nothing is sent to it as yet.")
    app.say("Looking through the sessions …")
    entries, preview = await _look_through(app)
    for line in _preview_lines(own, dataset, entries, preview):
        app.say(line)
    answer = await app.ask("Send sessions to it all the same? Type yes:" if is_public else "Make it public? Type yes:")
    if answer is None or answer.lower() != "yes":
        app.say(f"Nothing was changed: {own.repo_id} is {'' if is_public else 'not '}public.")
        return
    if not is_public:
        await own.make(app, "public")
    await _note(app, own, is_public=True)
    app.say(
        f"{own.url} is public now: everyone can read it, and whatever is uploaded from now on. "
        "/share-traces private hides it, /share-traces off stops the uploads."
    )


async def _changeable(app: App) -> tuple[_OwnDataset, Dataset]:
    """The person's dataset, if it is there or going to be. Raises `CannotError` and `HubError`."""
    config = (await _settings(app)).config
    own = await _own_dataset(app, config)
    dataset = await own.look_up()
    if dataset.visibility is None and own.sharing.why_off:
        raise CannotError(f"there is no {own.repo_id}, and none will be made: {own.sharing.why_off}")
    return own, dataset


async def _look_through(app: App) -> tuple[list[Entry], Preview]:
    """All sessions that were uploaded or wait for it, and what they would show. Esc stops it."""
    from agent.redaction.live import LiveSecrets
    from agent.redaction.redactor import Redactor
    from agent.traces.uploads.outbox import Outbox
    from agent.traces.uploads.preview import look_through

    stopped = threading.Event()

    def look() -> tuple[list[Entry], Preview]:
        outbox = Outbox(app.state_dir)
        kept = [entry for entry in [*outbox.waiting(), *outbox.done()] if entry.journal.is_file()]
        latest_first = sorted(kept, key=lambda entry: entry.added_at, reverse=True)
        redactor = Redactor(LiveSecrets(app.environ, {"HF_TOKEN": app.hf_token}))
        journals = [entry.journal for entry in latest_first]
        return kept, look_through(journals, app.state_dir, redactor, stopped.is_set)

    try:
        return await asyncio.to_thread(look)
    except OSError as error:
        raise CannotError(f"the sessions to be published cannot be looked through ({error})") from error
    finally:
        stopped.set()


def _preview_lines(own: _OwnDataset, dataset: Dataset, entries: list[Entry], preview: Preview) -> list[str]:
    """What everyone could read, what redaction takes out of it, and what nobody has looked at."""
    amount = f"{counted(preview.sessions, 'session')} of this machine"
    if preview.sessions:
        said = f"{counted(preview.prompts, 'prompt')} and {counted(preview.tool_outputs, 'tool output')}"
        amount += f" with {said}"
    lines = [f"If {own.url} is public, everyone can read {amount}, and whatever is uploaded later."]
    elsewhere = dataset.sessions - sum(entry.delivery("personal").repo == own.repo_id for entry in entries)
    gaps = (
        (elsewhere, "In the dataset, but not on this machine (any more), so nobody has looked at them"),
        (preview.left_out, "Too many to look through now"),
        (preview.unreadable, "Could not be looked through, the log says why"),
    )
    lines += [f"{words}: {counted(number, 'session')}." for number, words in gaps if number > 0]
    if not preview.replaced:
        return [*lines, "Redaction finds nothing in them to take out.", _CAUTION] if preview.sessions else lines
    kinds = [f"{number} × {kind}" for kind, number in preview.replaced.most_common(_KINDS)]
    lines.append(f"Redaction takes out of them: {', '.join(kinds)}. For example:")
    lines += [f"  {clip(found.excerpt, _EXCERPT_COLUMNS)}" for found in preview.excerpts]
    return [*lines, _CAUTION]


_ACTIONS: Mapping[str, Callable[[App], Awaitable[None]]] = {
    "": _show,
    "on": _on,
    "off": _off,
    "private": _hide,
    "public": _publish,
}


# --- the settings and the dataset -------------------------------------------------------------------------------------


async def _settings(app: App) -> LoadedConfig:
    """The settings as they are in the files now. Raises `ConfigError`."""
    return await asyncio.to_thread(lambda: load_config(environ=app.environ, cwd=app.workspace))


@dataclass(frozen=True, slots=True)
class _OwnDataset:
    """The dataset that is the person's own, and whether anything goes there."""

    repo_id: str
    account: HubAccount
    sharing: Sharing

    @property
    def url(self) -> str:
        return self.account.url(self.repo_id, "dataset")

    @property
    def owner(self) -> str:
        return self.repo_id.partition("/")[0]

    def readers(self, visibility: Visibility | None) -> str:
        """Who can read it; None: it is not there."""
        if visibility is None:
            return "not there yet: it is made, private, with the first upload"
        return "public: everyone can read it" if visibility == "public" else f"private: only {self.owner} can read it"

    async def look_up(self) -> Dataset:
        from agent.traces.uploads.dataset import look_up

        return await look_up(self.account, self.repo_id)

    async def make(self, app: App, visibility: Visibility) -> None:
        """Raises HubError. Where nobody knows whether it was changed, it says so."""
        from agent.traces.uploads.dataset import set_visibility

        threshold = Threshold()
        try:
            await set_visibility(self.account, self.repo_id, visibility, threshold)
        except (HubError, asyncio.CancelledError) as error:
            is_open = isinstance(error, asyncio.CancelledError) or error.kind in ("network", "server")
            if threshold.is_crossed and is_open:
                app.complain(f"{self.repo_id} may be {visibility} all the same: /share-traces tells.")
            raise


async def _own_dataset(app: App, config: Config) -> _OwnDataset:
    """Raises `CannotError` where it has no name, and `HubError` if the Hub does not say whose token it is."""
    from agent.traces.uploads.sharing import Target, is_repo_id

    template = config.personal_trace_repo_template
    if not is_repo_id(template):
        raise CannotError(
            "the setting personal_trace_repo_template is no dataset; write it like {hf_user}/ml-intern-sessions"
        )
    token = clean_hf_token(app.hf_token)
    if token is None:
        raise CannotError("there is no Hugging Face token; run `hf auth login`, or set HF_TOKEN")
    account = HubAccount(token, app.environ, on_who=partial(_remember, app, token))
    target = Target("personal", template)
    user = await asyncio.to_thread(remembered_user, cache_dir(app.environ), token)
    if user is None and target.needs_user:
        user = (await account.whoami()).name
        if not user:
            raise CannotError("the Hub does not say who you are; ml-intern doctor checks the token")
    repo_id = target.repo_of(user)
    if repo_id == config.session_dataset_repo:
        raise CannotError(f"{repo_id} is your organisation's dataset (session_dataset_repo): change it on its page")
    return _OwnDataset(repo_id, account, _sharing(app, config))


def _sharing(app: App, config: Config) -> Sharing:
    from agent.traces.uploads.sharing import ORGANIZATION_TOKEN, Tokens, decide

    tokens = Tokens(clean_hf_token(app.hf_token), clean_hf_token(app.environ.get(ORGANIZATION_TOKEN)))
    return decide(config, app.environ, tokens)


def _remember(app: App, token: str, who: Who) -> None:
    if who.name:
        remember_user(cache_dir(app.environ), token, who.name)

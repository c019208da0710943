"""Uploading, as the program's start and end see it: tell the person, and start the process that does it.

The process decides by itself what is sent (agent/traces/uploads/process.py). Nothing here waits for it, or for the Hub.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import field, replace
from pathlib import Path

from agent.config import Config, ConfigError, load_config
from agent.config_loading import expand_path
from agent.core.surroundings import Surroundings
from agent.hub.tokens import token_of_environment
from agent.light_dataclass import dataclass
from agent.llm.credentials import clean_hf_token
from agent.protocol.events import Event, NewComplete, ResumeComplete
from agent.protocol.messages import utc_now
from agent.traces.uploads.entries import Entry, Owner, account_mark
from agent.traces.uploads.outbox import Outbox
from agent.traces.uploads.sharing import ORGANIZATION_TOKEN, Tokens, announcement, decide, switched_off

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Uploads:
    """What one run of the program does about uploads. `config` is the run's; `environ`: see
    `agent.cli.dotenv_layers.own_environment`; `config_file`: the person's configuration, absolute, None for the usual
    place."""

    config: Config
    surroundings: Surroundings
    environ: Mapping[str, str] = field(repr=False)
    config_file: Path | None = None

    @classmethod
    def of(cls, config: Config, surroundings: Surroundings, environ: Mapping[str, str], cwd: Path) -> Uploads:
        """Those of a run that was started in `cwd`. Its sessions are shared by the person's own account: see
        `surroundings.shares_as`."""
        named = surroundings.environ.get("ML_INTERN_CLI_CONFIG")
        file = expand_path(named, surroundings.environ, cwd) if named else None
        plain = cls(config, surroundings, environ, file)
        token = plain._tokens.personal
        is_ours = token is not None and token == clean_hf_token(surroundings.hf_token)
        owner = Owner((is_ours and surroundings.hf_user) or "", account_mark(token))
        return replace(plain, surroundings=replace(surroundings, shares_as=owner))

    async def begin(self, say: Callable[[str], None]) -> None:
        """Tell the person of a dataset that nothing was sent to yet, and send what is left from earlier."""
        if switched_off(self.config, self.surroundings.environ):
            return
        if line := await asyncio.to_thread(self._news):
            say(line)
        self._start_soon()

    def see(self, event: Event) -> None:
        """Take note of an event: a session that was left for another one has ended."""
        if isinstance(event.payload, (NewComplete, ResumeComplete)):
            self._start_soon()

    async def end(self) -> None:
        """The session has ended: let what waits be sent, without waiting for it."""
        await asyncio.to_thread(self._start)

    def _start_soon(self) -> None:
        threading.Thread(target=self._start, name="start-uploads", daemon=True).start()

    def _start(self) -> None:
        """Start the process if there is something for it to do."""
        outbox, place = self._outbox, self.surroundings
        try:
            if outbox.is_empty():
                return
            config, tokens = self._config_now(), self._tokens
            if switched_off(config, place.environ):
                return
            targets = [target.name for target in decide(config, place.environ, tokens).targets]
            # the process looks for a token where it is too early to do so
            if not outbox.has_due(utc_now(), targets or ["personal"], place.shares_as):
                return
            from agent.traces.uploads.process import Order, start

            order = Order(
                state_dir=str(place.state_dir),
                tokens=tokens,
                environ=dict(place.environ),
                config_file=str(self.config_file) if self.config_file else None,
            )
            start(order, self.environ)
        except (OSError, ConfigError) as error:
            logger.warning("uploads were not started: %s", error)

    def _news(self) -> str:
        """The line on datasets that the person does not know of yet, which then counts as read; "" if there are none.
        Nothing is sent where this could not be noted."""
        user = self.surroundings.shares_as.user or None
        try:
            targets = decide(self._config_now(), self.surroundings.environ, self._tokens).targets
            told = self._outbox.told() if targets else frozenset()
            new = [target for target in targets if target.repo_of(user) not in told]
            if new:
                self._outbox.remember_told([target.repo_of(user) for target in new])
        except (OSError, ConfigError) as error:
            logger.warning("nothing will be uploaded: %s", error)
            return ""
        return announcement(new, user) if new else ""

    @property
    def _outbox(self) -> Outbox:
        return Outbox(self.surroundings.state_dir)

    @property
    def _tokens(self) -> Tokens:
        """Those of the person. A token that only a repository's file has brought is nobody's here."""
        used, own = token_of_environment(self.surroundings.environ), token_of_environment(self.environ)
        personal = self.surroundings.hf_token if used == own else own
        return Tokens(clean_hf_token(personal), clean_hf_token(self.environ.get(ORGANIZATION_TOKEN)))

    def _config_now(self) -> Config:
        """The configuration by now, as far as it is the person's: no project has a say in this."""
        place = self.surroundings
        return load_config(environ=place.environ, cwd=place.state_dir, config_file=self.config_file).config


def sharing_words(
    state_dir: Path,
    config: Config,
    environ: Mapping[str, str],
    *,
    hf_token: str | None = None,
    hf_user: str | None = None,
) -> str:
    """What to say of uploads in a line: "off: …" or "on: alice/ml-intern-sessions, 2 waiting, last error: …".

    Blocks, and asks nobody. `hf_token` None: the environment's.
    """
    tokens = Tokens(hf_token or token_of_environment(environ), environ.get(ORGANIZATION_TOKEN))
    sharing = decide(config, environ, tokens)
    outbox = Outbox(state_dir)
    everything: list[Entry] = []
    with contextlib.suppress(OSError):
        everything = outbox.waiting()
    mine = Owner(hf_user or "", account_mark(tokens.personal))
    others = [entry for entry in everything if not entry.owner.could_be(mine)]
    waiting = [entry for entry in everything if entry not in others]
    left = [f"{len(waiting)} waiting"] if waiting else []
    if others:
        names = sorted({entry.owner.user for entry in others if entry.owner.user})
        left.append(f"{len(others)} waiting for {' and '.join(names) or 'the account that shared them'}")
    if not sharing.is_on:
        return ", ".join([f"off: {sharing.why_off}", *left])
    where = " and ".join(target.named(hf_user) for target in sharing.targets)
    given_up = sum(any(delivery.is_given_up for delivery in entry.targets.values()) for entry in waiting)
    errors = [trouble.error for trouble in outbox.troubles().values()]
    errors += [delivery.last_error for entry in waiting for delivery in entry.targets.values() if delivery.last_error]
    words = [f"on: {where}", *left]
    words += [f"{given_up} given up"] if given_up else []
    words += [f"last error: {errors[0]}"] if errors else []
    return ", ".join(words)

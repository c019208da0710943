"""Runs of the upload process: a real one, over a fake Hub, on a state directory that is on disk."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from agent.traces.uploads.entries import Entry
from agent.traces.uploads.outbox import Outbox
from agent.traces.uploads.process import MODULE, Order
from agent.traces.uploads.sharing import Tokens
from tests.fakes.hub import FakeHub
from tests.fakes.hub_repository import Commit
from tests.unit.sessions.keeping import keep_session

TEMPLATE = "{hf_user}/ml-intern-sessions"
REPO = "tester/ml-intern-sessions"
ORG_REPO = "acme/sessions"
ONE, TWO = "1" * 32, "2" * 32


@dataclass
class Person:
    """Somebody who shares sessions, on a machine whose Hub is `hub`."""

    hub: FakeHub
    env: dict[str, str]
    home: Path
    tokens: Tokens = field(default_factory=Tokens)

    @classmethod
    def at(cls, hub: FakeHub, env: Mapping[str, str]) -> Person:
        """With sharing on, and told of it."""
        own = {"HF_ENDPOINT": hub.url, "OPENID_PROVIDER_URL": hub.url, "ML_INTERN_SHARE_TRACES": "true"}
        kept = {name: value for name, value in env.items() if name not in ("HF_HUB_OFFLINE", "DO_NOT_TRACK")}
        person = cls(hub, kept | own, Path(env["HOME"]), Tokens(hub.token))
        person.outbox.remember_told([TEMPLATE, ORG_REPO])
        return person

    @property
    def state_dir(self) -> Path:
        """Where everything is kept."""
        return Path(self.env["XDG_STATE_HOME"]) / "ml-intern"

    @property
    def outbox(self) -> Outbox:
        """What waits."""
        return Outbox(self.state_dir)

    @property
    def log(self) -> str:
        """What the processes have said."""
        return (self.state_dir / "logs" / "uploads.log").read_text()

    def keeps(self, session_id: str = ONE, *prompts: str) -> Path:
        """A session that was held and is to be shared."""
        path = keep_session(self.state_dir, session_id, *(prompts or ("train it",)))
        self.outbox.add(session_id, path)
        return path

    def order(self) -> Order:
        """What a program would tell the process."""
        secrets = {"HF_TOKEN": self.tokens.personal or ""}
        return Order(str(self.state_dir), self.tokens, {**self.env, **secrets})

    def starts(self) -> subprocess.Popen[bytes]:
        """An upload process that was just started, with its order."""
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", MODULE],
            env=self.env,
            cwd=self.state_dir,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        assert process.stdin is not None
        process.stdin.write(self.order().dump())
        process.stdin.close()
        process.stdin = None
        return process

    def uploads(self) -> str:
        """An upload process works to its end; returns what it has said."""
        process = self.starts()
        try:
            said, _ = process.communicate(timeout=60)
        finally:
            process.kill()
        assert process.returncode == 0, said.decode()
        return said.decode()

    def entry(self, session_id: str = ONE) -> Entry:
        """What is known of a session."""
        (entry,) = [each for each in self.outbox.waiting() + self.outbox.done() if each.session_id == session_id]
        return entry

    def makes_due(self) -> None:
        """Time passes until everything may be tried again."""
        for name, trouble in self.outbox.troubles().items():
            self.outbox.set_trouble(name, replace(trouble, not_before=trouble.at))
        for entry in self.outbox.waiting():
            for name, delivery in entry.targets.items():
                self.outbox.update(entry.session_id, name, replace(delivery, next_try=None))

    # --- what is on the Hub -------------------------------------------------------------------------------------------

    def files(self, repo: str = REPO) -> dict[str, bytes]:
        """The files of a dataset."""
        return self.hub.repos.files(repo, "dataset")

    def commits(self, repo: str = REPO) -> list[Commit]:
        """Commits that somebody made in a dataset, oldest first."""
        found = self.hub.repos.get(repo, "dataset")
        return [] if found is None else list(reversed(found.history("main")))[1:]

    def place(self, session_id: str = ONE) -> str:
        """Where a session lies in the dataset: by the day of its first record."""
        with self.entry(session_id).journal.open() as journal:
            return f"sessions/{json.loads(journal.readline())['ts'][:10]}/{session_id}.jsonl"

    def assert_all_sent(self, *paths: Path) -> None:
        """Every session is on the Hub once, to its last record, and nothing waits."""
        assert self.outbox.waiting() == []
        sent = {entry.session_id: entry.targets["personal"].uploaded_seq for entry in self.outbox.done()}
        assert sent == {path.stem: path.read_bytes().count(b"\n") for path in paths}
        names = sorted(name for name in self.files() if name.startswith("sessions/"))
        assert names == sorted(self.place(path.stem) for path in paths)

"""The process that uploads: `python -P -m agent.traces.uploads.process`, its order on stdin, what it says in a log.

It is started by `start` and belongs to nobody from then on: a terminal that closes and a program that ends do not end
it, and neither waits for it. Secrets come through the pipe, never by argument or environment. It runs in the state
directory, so that nothing in a repository is imported or read, and takes no `.env` file. Of several that are started at
once one works, one waits for its turn, and the others leave it to that one.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import subprocess
import sys
import sysconfig
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, field, replace
from pathlib import Path
from typing import IO, Any

from agent.config import ConfigError, cache_dir, load_config
from agent.hub.account import HubAccount, Who
from agent.hub.tokens import resolve_hf_token
from agent.hub.whose import remember_user
from agent.light_dataclass import dataclass
from agent.protocol.private_files import make_private_dir
from agent.redaction.live import LiveSecrets, child_environment
from agent.redaction.redactor import RedactionError, Redactor
from agent.sessions import lock
from agent.traces.uploads.entries import Owner, account_mark
from agent.traces.uploads.outbox import Outbox
from agent.traces.uploads.sharing import Sharing, Target, Tokens, decide

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

logger = logging.getLogger(__name__)

MODULE = "agent.traces.uploads.process"
MAX_LOG_BYTES = 1 << 20
NICENESS = 10
PIPE_BYTES = 1 << 16
REQUEST_LIMIT_S = 120.0
TURN_PATIENCE_S = 900.0
TURN_POLL_S = 0.2


@dataclass(frozen=True, slots=True)
class Order:
    """What the process is told through its pipe. `environ` is what the program has besides the process's own
    environment, secrets above all: the configuration is read with it, and its secrets are taken out of all that is
    sent. `config_file` None: the usual one."""

    state_dir: str
    tokens: Tokens
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)
    config_file: str | None = None

    def dump(self) -> bytes:
        """As JSON."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def load(cls, data: bytes) -> Order:
        """What `dump` has made. Raises ValueError, TypeError or KeyError."""
        raw = json.loads(data)
        return cls(**{**raw, "tokens": Tokens(**raw["tokens"])})


# --- starting it ------------------------------------------------------------------------------------------------------


def start(order: Order, environ: Mapping[str, str]) -> None:
    """Start the process and hand it its order; returns at once. `environ`: the person's, of which it gets what is no
    secret. Raises OSError."""
    state_dir, env = Path(order.state_dir), _environment(environ)
    more = {name: value for name, value in order.environ.items() if env.get(name) != value}
    told = replace(order, environ=more).dump()
    with _log_file(state_dir) as log:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", MODULE],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            cwd=state_dir,
            env=env,
            start_new_session=True,
        )
    # somebody has to take note of its end while we live; when we do not any more, the system does
    threading.Thread(target=process.wait, name="upload-process", daemon=True).start()
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError), process.stdin as pipe:
        _widen(pipe, len(told))
        pipe.write(told)  # which does not wait: the pipe holds all of it


def _widen(pipe: IO[bytes], size_bytes: int) -> None:
    """Let a pipe hold so much before anybody reads. All hold 64 KiB, and more secrets than that are rare."""
    if (command := getattr(fcntl, "F_SETPIPE_SZ", None)) is not None and size_bytes > PIPE_BYTES:
        with contextlib.suppress(OSError):
            fcntl.fcntl(pipe, command, size_bytes)


def _environment(environ: Mapping[str, str]) -> dict[str, str]:
    env = child_environment(environ)
    root = str(Path(__file__).parents[3])
    if root not in (sysconfig.get_path("purelib"), sysconfig.get_path("platlib")):  # a checkout, perhaps not installed
        env["PYTHONPATH"] = os.pathsep.join(filter(None, [env.get("PYTHONPATH"), root]))
    return env


def _log_file(state_dir: Path) -> IO[bytes]:
    path = state_dir / "logs" / "uploads.log"
    make_private_dir(path.parent)
    with contextlib.suppress(FileNotFoundError):
        if path.lstat().st_size > MAX_LOG_BYTES:
            path.replace(path.with_name("uploads.log.1"))
    no_link = getattr(os, "O_NOFOLLOW", 0)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | no_link, 0o600)
    return open(fd, "ab")  # noqa: PTH123


# --- being it ---------------------------------------------------------------------------------------------------------


def main() -> int:
    """Read the order, and upload what is due."""
    order = Order.load(sys.stdin.buffer.read())
    order = replace(order, environ={**os.environ, **order.environ})
    tokens = {"HF_TOKEN": order.tokens.personal, "HF_SESSION_UPLOAD_TOKEN": order.tokens.organization}
    live = LiveSecrets(order.environ, tokens)
    _log_to_stderr(live)
    with contextlib.suppress(OSError):
        os.nice(NICENESS)
    try:
        with _turn(Path(order.state_dir)) as is_ours:
            if is_ours:
                asyncio.run(_upload(order, live))
    except Exception:  # the door to outside: there is only the log to tell
        logger.exception("uploading failed")
        return 1
    return 0


async def _upload(order: Order, live: LiveSecrets) -> None:
    from agent.traces.uploads.uploader import Uploader

    state_dir = Path(order.state_dir)
    tokens = order.tokens
    if tokens.personal is None:  # the start of a program is too early to look for one
        tokens = Tokens(resolve_hf_token(os.environ), tokens.organization)
        live.add("HF_TOKEN", tokens.personal)
    outbox = Outbox(state_dir)
    mark = account_mark(tokens.personal)
    users: dict[str, str] = {}

    def sharing() -> Sharing:
        return _as_told(_current(order, tokens), outbox, users.get("personal"))

    def remember(who: Who) -> None:
        if tokens.personal and who.name:
            remember_user(cache_dir(os.environ), tokens.personal, who.name)
            outbox.name_owner(Owner(who.name, mark))
            for target in _current(order, tokens).targets:
                outbox.resolve_told(target.repo, target.repo_of(who.name))
        users["personal"] = who.name

    personal = HubAccount(tokens.personal, os.environ, on_who=remember)
    _ask_once(personal)
    uploader = Uploader(
        outbox=outbox,
        state_dir=state_dir,
        sharing=sharing,
        accounts={"personal": personal, "organization": HubAccount(tokens.organization, os.environ)},
        redactor=lambda: Redactor(live),
    )
    first = sharing()
    if not first.is_on:
        logger.info("nothing is uploaded: %s", first.why_off)
        return
    handled = await uploader.run()
    logger.info("%d seen to", handled)


def _current(order: Order, tokens: Tokens) -> Sharing:
    """What the configuration says by now. One that cannot be read turns everything off."""
    config_file = Path(order.config_file) if order.config_file else None
    try:
        config = load_config(environ=order.environ, cwd=Path(order.state_dir), config_file=config_file).config
    except ConfigError as error:
        return Sharing(why_off=f"the configuration cannot be read ({error})")
    return decide(config, order.environ, tokens)


def _as_told(sharing: Sharing, outbox: Outbox, user: str | None) -> Sharing:
    """Only what the person was told of."""
    told = outbox.told()

    def knows(target: Target) -> bool:
        return bool({target.repo, target.repo_of(user)} & told) or (user is None and _fits(target, told))

    targets = tuple(target for target in sharing.targets if knows(target))
    return Sharing(targets, sharing.why_off or ("" if targets else "the person was not told of it yet"))


def _fits(target: Target, told: frozenset[str]) -> bool:
    """Whether a dataset was told whose name may come out once the user is known."""
    before, user, after = target.repo.partition("{hf_user}")
    return bool(user) and any(repo.startswith(before) and repo.endswith(after) for repo in told)


def _ask_once(account: HubAccount) -> None:
    """No retries behind our back: the client's own would wait for minutes, or for as long as the Hub says, and what
    comes after that is decided here (agent/traces/uploads/uploader.py)."""
    account.api()  # which sets up the client as all of the program has it
    from huggingface_hub import set_client_factory
    from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]
    from huggingface_hub.utils import hf_raise_for_status  # type: ignore[attr-defined]
    from huggingface_hub.utils._http import default_client_factory

    def once() -> Any:
        client: Any = default_client_factory()
        client.timeout = REQUEST_LIMIT_S
        ask = client.request

        def request(*args: Any, **kwargs: Any) -> Any:
            try:
                response = ask(*args, **{**kwargs, "timeout": REQUEST_LIMIT_S})
            except HTTPError as error:
                raise OSError(f"{type(error).__name__}: {error}") from error
            if response.status_code == 429 or response.status_code >= 500:
                hf_raise_for_status(response)
            return response

        client.request = request
        return client

    set_client_factory(once)


@contextlib.contextmanager
def _turn(state_dir: Path) -> Iterator[bool]:
    """Wait until no other process uploads. False: somebody else waits already, and will see what we would."""
    with contextlib.ExitStack() as held:
        place = held.enter_context(contextlib.ExitStack())
        if not lock.acquire(_opened(state_dir / "uploads.next.lock", place)):
            yield False
            return
        fd = _opened(state_dir / "uploads.lock", held)
        deadline = time.monotonic() + TURN_PATIENCE_S
        while not lock.acquire(fd):
            if time.monotonic() > deadline:
                logger.warning("another process has been uploading for long; this one leaves it to the next start")
                yield False
                return
            time.sleep(TURN_POLL_S)
        place.close()  # from now on somebody else may wait: what they know of, we may not see
        yield True


def _opened(path: Path, until: contextlib.ExitStack) -> int:
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    until.callback(os.close, fd)
    return fd


class _Formatter(logging.Formatter):
    """A line of the log, without secrets."""

    def __init__(self, live: LiveSecrets) -> None:
        super().__init__("%(asctime)s [%(process)d] %(levelname)s %(name)s: %(message)s")
        self._redactor = Redactor(live)

    def format(self, record: logging.LogRecord) -> str:
        """The line, or that there was one."""
        try:
            return self._redactor.text(super().format(record))
        except RedactionError:
            return f"{record.levelname} {record.name}: (a line that could not be redacted)"


def _log_to_stderr(live: LiveSecrets) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter(live))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    for noisy in ("httpx", "httpcore", "huggingface_hub", "filelock", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    logging.raiseExceptions = False


if __name__ == "__main__":
    sys.exit(main())

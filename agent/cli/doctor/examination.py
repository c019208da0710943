"""All checks at once, each with a time limit of its own; what hangs is left behind."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from agent.cli.doctor import account, machine, models, settings
from agent.cli.doctor.findings import Finding, Findings
from agent.cli.doctor.place import Lookups, Place
from agent.light_dataclass import dataclass
from agent.redaction.live import LiveSecrets
from agent.ui.sanitize import visible

logger = logging.getLogger(__name__)

TIME_LIMIT_S = 5.0


@dataclass(frozen=True, slots=True)
class Check:
    """A check. `name` is for the case that it has nothing to say, because it took too long or broke."""

    name: str
    run: Callable[[Place, Lookups], Awaitable[Findings]]
    extra_s: float = 0.0
    """How much longer than the others it may take."""


def _blocking(name: str, look: Callable[[Place], Findings]) -> Check:
    async def run(place: Place, _lookups: Lookups) -> Findings:
        return await asyncio.to_thread(look, place)

    return Check(name, run)


CHECKS = (
    _blocking("program", machine.program),
    _blocking("terminal", machine.terminal),
    _blocking("configuration", settings.configuration),
    _blocking(".env files", settings.dotenv),
    Check("HF token", account.hugging_face),
    _blocking("provider keys", models.keys),
    Check("model", models.model),
    Check("probe", models.probe, models.PROBE_TIMEOUT_S),
    Check("HF router", models.router),
    Check("local server", models.local_servers),
    _blocking("git", machine.git),
    _blocking("disk", machine.disk),
    _blocking("gpu", machine.gpu),
    _blocking("MCP servers", settings.mcp_servers),
    _blocking("notifications", settings.notifications),
    _blocking("state", settings.state),
    Check("traces", settings.traces),
    _blocking("proxies", settings.network),
)
"""In the order of the report."""


def examine(place: Place, time_limit_s: float = TIME_LIMIT_S) -> Findings:
    """Run all checks and return what they found, in order, without secrets and terminal sequences.

    Blocks, for hardly longer than `time_limit_s` unless the model is probed. Where an event loop runs, call it in a
    thread.
    """
    return asyncio.run(_examine(place, time_limit_s))


async def _examine(place: Place, time_limit_s: float) -> Findings:
    asyncio.get_running_loop().set_default_executor(_LooseThreads())
    lookups = Lookups(place.environ)
    found = await asyncio.gather(*(_run(check, place, lookups, time_limit_s + check.extra_s) for check in CHECKS))
    secrets = LiveSecrets(place.environ, {"HF_TOKEN": lookups.known_token})

    def clean(text: str) -> str:
        return visible(secrets.scrub(text), keep_newlines=False)

    return [finding.mapped(clean) for findings in found for finding in findings]


async def _run(check: Check, place: Place, lookups: Lookups, time_limit_s: float) -> Findings:
    try:
        async with asyncio.timeout(time_limit_s):
            return await check.run(place, lookups)
    except TimeoutError:
        cause, remedy = (
            f"no result within {time_limit_s:g} s",
            "A hanging disk, network or name server; try again.",
        )
    except Exception as error:  # one broken check must not take the others with it
        logger.warning("the check %s failed", check.name, exc_info=True)
        cause, remedy = f"{type(error).__name__}: {error}", "`ml-intern doctor --debug` tells more."
    return [Finding(check.name, "warning", "could not be checked", cause, remedy)]


class _LooseThreads(ThreadPoolExecutor):
    """An executor for work that may hang for ever, such as a look-up of a name: nobody waits for its threads."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run `fn` in a daemon thread of its own."""
        future: Future[Any] = Future()

        def work() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(fn(*args, **kwargs))
            except BaseException as error:  # noqa: BLE001 - handed on to whoever waits
                future.set_exception(error)

        threading.Thread(target=work, name="doctor", daemon=True).start()
        return future

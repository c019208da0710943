"""The fake Hub's Spaces: duplicating, secrets, variables, hardware, and how they come up.

    hub.repos.create("burtenshaw/sandbox", "space", {"Dockerfile": "..."}, private=False, sdk="docker")
    hub.spaces.stages = ["404", "BUILDING", "RUNNING"]       # of every Space to come, one per look at its runtime
    ...                                                      # a client duplicates it and waits
    assert hub.spaces.get("tester/sandbox-1").secrets["API_TOKEN"]

The files of a Space are a repository of `hub_repos`, which also tells this part of commits and deletions.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.fakes.http_base import Exchange
from tests.fakes.hub_part import Handler, Part, Refused, Route, object_of, send_json, stamp

if TYPE_CHECKING:
    from tests.fakes.hub import FakeHub
    from tests.fakes.hub_repository import Repository

STAGES = (
    "NO_APP_FILE CONFIG_ERROR BUILDING BUILD_ERROR RUNNING RUNNING_BUILDING RUNTIME_ERROR DELETING STOPPED PAUSED "
    "APP_STARTING RUNNING_APP_STARTING"
).split()
FREE = "cpu-basic"
FREE_SLEEP_S = 172800
"""Free hardware sleeps after 48 hours, whatever is asked for."""


@dataclass(slots=True)
class Space:
    """The runtime side of one Space. Tests may read and set everything."""

    repo_id: str
    stages: list[str]
    """What the next looks at the runtime show, one each; the last one stays. "404": not known yet."""
    requested: str = FREE
    current: str | None = None
    grants: str | None = None
    """The hardware it really gets; None: what was requested."""
    sleep_time_s: int | None = None
    secrets: dict[str, str] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    volumes: list[dict[str, Any]] = field(default_factory=list)
    error_message: str | None = None
    polls: int = 0
    builds: int = 0
    """Commits and restarts that made it build or start anew."""
    host_url: str | None = None
    build_log: list[str] = field(default_factory=list)
    run_log: list[str] = field(default_factory=list)

    @property
    def stage(self) -> str:
        """The stage it is in: what the next look shows."""
        return self.stages[0]

    @property
    def subdomain(self) -> str:
        """The name under which it is reached: not simply the id with a dash."""
        return re.sub(r"[^a-z0-9]+", "-", self.repo_id.lower()).strip("-")

    def look(self) -> str:
        """The stage that is shown now; the next one is due then."""
        self.polls += 1
        shown = self.stages[0]
        if len(self.stages) > 1:
            self.stages = self.stages[1:]
        if shown == "RUNNING":
            self.current = self.grants or self.requested
        return shown

    def again(self, stages: list[str]) -> None:
        """It builds or starts anew. What was scripted and never looked at stays as it is."""
        self.builds += 1
        if self.polls:
            self.stages = list(stages)


class Spaces(Part):
    """All Spaces. Plain attributes are settings for tests."""

    def __init__(self, hub: FakeHub) -> None:
        super().__init__(hub)
        self.stages = ["BUILDING", "RUNNING"]
        """`Space.stages` of every Space to come."""
        self.rebuild_stages = ["BUILDING", "RUNNING"]
        """What a commit to a Space that was looked at before sets off."""
        self.restart_stages = ["APP_STARTING", "RUNNING"]
        self.no_credit: set[str] = set()
        """Namespaces that get a 402 for paid hardware."""
        self.no_plan: set[str] = set()
        """Namespaces that get a 402 for every duplicate."""
        self.host_url: str | None = None
        """Where all Spaces are reached, e.g. a `SpaceHost.url`; None: `https://<subdomain>.hf.space`."""
        self._all: dict[str, Space] = {}
        hub.repos.may_create.append(self._allow)
        hub.repos.on_create.append(self._created)
        hub.repos.on_commit.append(self._committed)
        hub.repos.on_delete.append(self._deleted)
        hub.repos.info_extras.append(self._extras)

    # --- for tests ---

    def get(self, repo_id: str) -> Space:
        """The Space; KeyError if there is none (any more)."""
        return self._all[repo_id]

    def all(self) -> list[Space]:
        """All Spaces that exist, oldest first."""
        return list(self._all.values())

    def of(self, namespace: str | None = None) -> list[Space]:
        """The Spaces in a namespace (the user's): what a test looks at for things left behind."""
        return [space for space in self.all() if space.repo_id.startswith(f"{namespace or self.hub.user}/")]

    # --- what the repositories tell ---

    def _allow(self, repo_type: str, namespace: str, sent: dict[str, Any]) -> None:
        if repo_type == "space":
            self._check_credit(namespace, str(sent.get("hardware") or FREE))

    def _created(self, repo: Repository, payload: dict[str, Any]) -> None:
        if repo.repo_type == "space":
            self._furnish(self._of(repo), payload)

    def _of(self, repo: Repository) -> Space:
        """The runtime side of a repository; a Space that was moved starts anew."""
        return self._all.setdefault(repo.repo_id, Space(repo.repo_id, list(self.stages)))

    def _furnish(self, space: Space, payload: Mapping[str, Any]) -> None:
        """Apply what a request to create or duplicate says about the runtime."""
        space.requested = str(payload.get("hardware") or space.requested)
        self._set_sleep(space, payload.get("sleepTimeSeconds"))
        space.secrets |= {each["key"]: each["value"] for each in payload.get("secrets") or ()}
        space.variables |= {each["key"]: each["value"] for each in payload.get("variables") or ()}
        space.volumes = list(payload.get("volumes") or space.volumes)

    def _committed(self, repo: Repository, ref: str) -> None:
        if repo.repo_type == "space" and ref == "refs/heads/main":
            self._of(repo).again(self.rebuild_stages)

    def _deleted(self, repo: Repository) -> None:
        if repo.repo_type == "space":
            self._all.pop(repo.repo_id, None)

    def _extras(self, repo: Repository) -> Mapping[str, Any]:
        space = self._all.get(repo.repo_id) if repo.repo_type == "space" else None
        if space is None:
            return {}
        host = space.host_url or self.host_url or f"https://{space.subdomain}.hf.space"
        return {"host": host, "subdomain": space.subdomain, "runtime": self._runtime(space, space.stage)}

    def _runtime(self, space: Space, stage: str) -> dict[str, Any]:
        return {
            "stage": "BUILDING" if stage == "404" else stage,
            "hardware": {"current": space.current, "requested": space.requested},
            "storage": None,
            "gcTimeout": FREE_SLEEP_S if space.requested == FREE else space.sleep_time_s,
            "replicas": {"current": int(stage == "RUNNING"), "requested": 1},
            "devMode": False,
            **({"volumes": space.volumes} if space.volumes else {}),
            **({"errorMessage": space.error_message} if space.error_message else {}),
        }

    def _set_sleep(self, space: Space, seconds: int | None) -> None:
        if seconds is not None:
            space.sleep_time_s = seconds

    # --- routes ---

    def routes(self) -> Iterable[Route]:
        """All routes about the runtime of Spaces."""
        return (
            Route("GET", "/api/spaces/hardware", self._hardware),
            Route("POST", "/api/spaces/(?P<repo_id>[^/]+/[^/]+)/duplicate", self._duplicate),
            self._route("GET", "runtime", self._show_runtime),
            self._route("POST", "hardware", self._request_hardware, True),
            self._route("POST", "sleeptime", self._sleep_time, True),
            self._route("POST", "pause", self._pause, True),
            self._route("POST", "restart", self._restart, True),
            self._route("GET", "secrets", self._list_secrets, True),
            self._route("POST", "secrets", self._add_secret, True),
            self._route("DELETE", "secrets", self._delete_secret, True),
            self._route("GET", "variables", self._list_variables, True),
            self._route("POST", "variables", self._add_variable, True),
            self._route("DELETE", "variables", self._delete_variable, True),
            self._route("PUT", "volumes", self._set_volumes, True),
            self._route("DELETE", "volumes", self._delete_volumes, True),
            self._route("GET", "logs/(?P<which>build|run)", self._logs, True),
        )

    def _route(self, method: str, rest: str, handler: Handler, is_owners: bool = False) -> Route:
        """A route under a Space's id; the handler gets the Space, if the request may see (or change) it."""

        async def answer(exchange: Exchange, repo_id: str, **named: str) -> None:
            repo = self.hub.repos.visible(exchange, "space", repo_id)
            if is_owners:
                self.hub.repos.writable(exchange, repo.owner, "manage this Space")
            await handler(exchange, self._of(repo), **named)

        return Route(method, f"/api/spaces/(?P<repo_id>[^/]+/[^/]+)/{rest}", answer)

    async def _hardware(self, exchange: Exchange) -> None:
        await send_json(exchange, 200, self.hub.jobs.hardware)

    async def _duplicate(self, exchange: Exchange, repo_id: str) -> None:
        source = self.hub.repos.visible(exchange, "space", repo_id)
        sent = object_of(exchange)
        to_id = str(sent.get("repository"))
        namespace = to_id.partition("/")[0]
        self.hub.repos.writable(exchange, namespace, "duplicate a Space")
        url = f"{self.hub.url}/spaces/{to_id}"
        if self.hub.repos.get(to_id, "space") is not None:
            raise Refused(409, f"You already created this space repo: {to_id}", url=url)
        if namespace in self.no_plan:
            raise Refused(402, "Creating this Space requires a paid plan.")
        self._check_credit(namespace, str(sent.get("hardware") or FREE))
        is_private = sent["visibility"] == "private" if "visibility" in sent else source.private
        self.hub.repos.duplicate(repo_id, to_id, "space", is_private)
        self._furnish(self._all[to_id], sent)
        await send_json(exchange, 200, {"url": url})

    def _check_credit(self, namespace: str, flavor: str) -> None:
        """Raises Refused if there is no such hardware, or nobody pays for it."""
        if flavor != "zero-a10g" and flavor not in [row["name"] for row in self.hub.jobs.hardware]:
            raise Refused(400, f"Invalid hardware flavor: {flavor}")
        if flavor != FREE and namespace in self.no_credit:
            raise Refused(402, f"Payment required: {namespace} has no credit for {flavor}.")

    async def _show_runtime(self, exchange: Exchange, space: Space) -> None:
        shown = space.look()
        if shown == "404":
            raise Refused(404, "Repository not found", "RepoNotFound")
        await self._answer_runtime(exchange, space, shown)

    async def _answer_runtime(self, exchange: Exchange, space: Space, stage: str | None = None) -> None:
        await send_json(exchange, 200, self._runtime(space, stage or space.stage))

    async def _request_hardware(self, exchange: Exchange, space: Space) -> None:
        sent = object_of(exchange)
        self._check_credit(space.repo_id.partition("/")[0], str(sent.get("flavor")))
        space.requested = str(sent.get("flavor"))
        self._set_sleep(space, sent.get("sleepTimeSeconds"))
        space.again(self.rebuild_stages)
        await self._answer_runtime(exchange, space)

    async def _sleep_time(self, exchange: Exchange, space: Space) -> None:
        self._set_sleep(space, object_of(exchange).get("seconds"))
        await self._answer_runtime(exchange, space)

    async def _pause(self, exchange: Exchange, space: Space) -> None:
        space.stages, space.current = ["PAUSED"], None
        await self._answer_runtime(exchange, space)

    async def _restart(self, exchange: Exchange, space: Space) -> None:
        is_whole = exchange.request.query.get("factory") == "true"
        space.polls += 1  # a restart overrides what was scripted
        space.again(self.rebuild_stages if is_whole else self.restart_stages)
        await self._answer_runtime(exchange, space)

    # --- secrets, variables, volumes ---

    async def _list_secrets(self, exchange: Exchange, space: Space) -> None:
        now = stamp(self.hub.now())
        await send_json(exchange, 200, {key: {"key": key, "updatedAt": now} for key in space.secrets})

    async def _add_secret(self, exchange: Exchange, space: Space) -> None:
        sent = object_of(exchange)
        space.secrets[sent["key"]] = sent["value"]
        await send_json(exchange, 200, {})

    async def _delete_secret(self, exchange: Exchange, space: Space) -> None:
        if space.secrets.pop(object_of(exchange)["key"], None) is None:
            raise Refused(404, "Secret not found")
        await send_json(exchange, 200, {})

    async def _list_variables(self, exchange: Exchange, space: Space) -> None:
        now = stamp(self.hub.now())
        listed = {key: {"key": key, "value": value, "updatedAt": now} for key, value in space.variables.items()}
        await send_json(exchange, 200, listed)

    async def _add_variable(self, exchange: Exchange, space: Space) -> None:
        sent = object_of(exchange)
        space.variables[sent["key"]] = sent["value"]
        await self._list_variables(exchange, space)

    async def _delete_variable(self, exchange: Exchange, space: Space) -> None:
        space.variables.pop(object_of(exchange)["key"], None)
        await self._list_variables(exchange, space)

    async def _set_volumes(self, exchange: Exchange, space: Space) -> None:
        space.volumes = list(object_of(exchange)["volumes"])
        await send_json(exchange, 200, {})

    async def _delete_volumes(self, exchange: Exchange, space: Space) -> None:
        if not space.volumes:
            raise Refused(400, "This Space has no volumes")
        space.volumes = []
        await send_json(exchange, 200, {})

    async def _logs(self, exchange: Exchange, space: Space, which: str) -> None:
        lines = space.build_log if which == "build" else space.run_log
        events = [json.dumps({"data": text, "timestamp": stamp(self.hub.now())}) for text in lines]
        await exchange.head(200, {"Content-Type": "text/event-stream"})
        await exchange.body("".join(f"data: {event}\n\n" for event in events).encode(), last=True)

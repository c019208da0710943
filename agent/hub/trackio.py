"""A Space for the metrics dashboard of trackio, ready before the first run reports to it.

trackio itself neither fills a Space that exists already (it stays blank) nor mounts its bucket there (the runs are lost
when it restarts). Both is done here, as far as it is not done yet.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from agent.hub.account import HubAccount
from agent.hub.errors import HubError
from agent.hub.repos import MAIN, Repo, read_head

if TYPE_CHECKING:
    from huggingface_hub import HfApi, SpaceInfo

logger = logging.getLogger(__name__)

Log = Callable[[str], None]

MOUNT_PATH = "/data"
_APP_MAX_BYTES = 1_000_000
_APP = '''\
"""Dashboard of training runs. They are kept in the bucket that is mounted at /data."""

import trackio

trackio.show()
'''
_README = """\
---
title: {title}
emoji: 📈
colorFrom: yellow
colorTo: red
sdk: gradio
app_file: app.py
pinned: false
tags:
- trackio
- ml-intern
---

Metrics of training runs, reported with [trackio](https://github.com/gradio-app/trackio). Runs are kept in the bucket
`{bucket}`.
"""


async def seed_dashboard(account: HubAccount, space_id: str, log: Log) -> bool:
    """Make the dashboard at `space_id` ready; whether anything had to be changed. Says to `log` what it did, a line
    each. Never raises: trouble is said to `log`, and what was done before it stays."""
    dashboard = _Dashboard(account, space_id, log)
    try:
        await dashboard.seed()
    except HubError as error:
        log(f"The dashboard {space_id} is not ready: {error}")
    except Exception as error:  # a run is worth doing without a dashboard
        logger.warning("the dashboard %s is not ready", space_id, exc_info=True)
        log(f"The dashboard {space_id} is not ready ({type(error).__name__}).")
    return dashboard.has_changed


class _Dashboard:
    """One Space on its way to being a dashboard. All methods raise HubError."""

    def __init__(self, account: HubAccount, space_id: str, log: Log) -> None:
        self.account = account
        self.space = Repo(space_id.strip(), "space")
        self.bucket_id = f"{self.space.id}-bucket"
        self.log = log
        self.has_changed = False

    async def seed(self) -> None:
        """All of it. What needs no restart of the app comes before the files, which start it."""
        await self._check_owner()
        info = await self._look()
        if info is None:
            await self._change(_create_space, "made the private Space")
        app = await self.account.read(self._read_app, f"reading the app of {self.space}")
        has_dashboard = "trackio.show" in app
        if app.strip() and not has_dashboard and "trackio" not in app:
            raise HubError("this Space has another app, which is left alone. Choose another name.", "conflict")
        try:
            await self._keep_runs(info)
        except HubError as error:  # it shows something without that, too
            self.log(f"The runs in {self.space.id} will be lost when it restarts: {error}")
        if not has_dashboard:
            await self._change(_commit_files, "put the dashboard into it")

    async def _check_owner(self) -> None:
        owner, slash, name = self.space.id.partition("/")
        if not (owner and slash and name) or "/" in name:
            raise HubError(f"a Space is named owner/name, not {self.space.id!r}.", "bad_request")
        who = await self.account.whoami()
        allowed = (who.name, *who.orgs)
        if owner not in allowed:
            raise HubError(f"{owner} is somebody else. It can be under: {', '.join(allowed)}.", "forbidden")

    async def _look(self) -> SpaceInfo | None:
        """The Space, None if there is none."""
        try:
            return await self.account.read(lambda api: api.space_info(self.space.id), f"looking at {self.space}")
        except HubError as error:
            if error.missing == "repository":
                return None
            raise

    def _read_app(self, api: HfApi) -> str:
        from huggingface_hub.errors import EntryNotFoundError

        try:
            found = read_head(api, self.space, MAIN, "app.py", max_bytes=_APP_MAX_BYTES)
        except EntryNotFoundError:
            return ""
        return found.data.decode("utf-8", "replace")

    async def _keep_runs(self, info: SpaceInfo | None) -> None:
        """A private bucket, mounted into the Space, and the variables that tell trackio of it."""
        if not await self.account.read(self._has_bucket, f"looking at the bucket {self.bucket_id}"):
            await self._change(_create_bucket, "made the private bucket")
        volumes = [] if info is None else await self.account.read(self._read_volumes, f"looking at {self.space}")
        at_path = [each for each in volumes if each.mount_path.rstrip("/") == MOUNT_PATH]
        if any((each.type, each.source) != ("bucket", self.bucket_id) for each in at_path):
            raise HubError(f"{at_path[0].source} is mounted at {MOUNT_PATH} already, and stays.", "conflict")
        if not at_path:
            await self._change(lambda api, it: _mount(api, it, volumes), f"mounted its bucket at {MOUNT_PATH}")
        present = await self.account.read(
            lambda api: {key: each.value for key, each in api.get_space_variables(self.space.id).items()},
            f"reading the variables of {self.space}",
        )
        wanted = {"TRACKIO_DIR": f"{MOUNT_PATH}/trackio", "TRACKIO_BUCKET_ID": self.bucket_id}
        if missing := {key: value for key, value in wanted.items() if present.get(key) != value}:
            await self._change(lambda api, it: _set_variables(api, it, missing), f"set {', '.join(missing)}")

    def _has_bucket(self, api: HfApi) -> bool:
        from huggingface_hub.errors import BucketNotFoundError, RepositoryNotFoundError

        try:
            api.bucket_info(self.bucket_id)
        except (BucketNotFoundError, RepositoryNotFoundError):
            return False
        return True

    def _read_volumes(self, api: HfApi) -> list[Any]:
        """What is mounted. The runtime says it, or only the Space's own page does."""
        volumes = api.get_space_runtime(self.space.id).volumes
        if volumes is None and (runtime := api.space_info(self.space.id).runtime) is not None:
            volumes = runtime.volumes
        return list(volumes or [])

    async def _change(self, work: Callable[[HfApi, _Dashboard], object], done: str) -> None:
        """Do it once, and say so."""
        await self.account.call(lambda api: work(api, self), f"preparing {self.space}")
        self.has_changed = True
        self.log(f"Dashboard {self.space.id}: {done}.")


def _create_space(api: HfApi, it: _Dashboard) -> None:
    api.create_repo(it.space.id, repo_type="space", space_sdk="gradio", private=True, exist_ok=True)


def _create_bucket(api: HfApi, it: _Dashboard) -> None:
    api.create_bucket(it.bucket_id, private=True, exist_ok=True)


def _mount(api: HfApi, it: _Dashboard, others: list[Any]) -> None:
    from huggingface_hub import Volume

    bucket = Volume(type="bucket", source=it.bucket_id, mount_path=MOUNT_PATH)
    api.set_space_volumes(it.space.id, [*others, bucket])


def _set_variables(api: HfApi, it: _Dashboard, variables: Mapping[str, str]) -> None:
    for key, value in variables.items():
        api.add_space_variable(it.space.id, key, value)


def _commit_files(api: HfApi, it: _Dashboard) -> None:
    """One commit: each would build the Space anew."""
    from huggingface_hub import CommitOperationAdd

    title = it.space.id.partition("/")[2]
    files = {
        "README.md": _README.format(title=f'"{title}"', bucket=it.bucket_id),
        "requirements.txt": "trackio\n",
        "app.py": _APP,
    }
    api.create_commit(
        it.space.id,
        [CommitOperationAdd(path, text.encode()) for path, text in files.items()],
        commit_message="Show the trackio dashboard",
        repo_type="space",
    )

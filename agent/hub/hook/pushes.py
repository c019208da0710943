"""Notices what a job's Python pushes to the Hub, and registers it: once per repository, quietly, as well as it can.

Sent as text together with `agent.hub.cards`: nothing of this program, any huggingface_hub since 0.20.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import inspect
import os
import queue
import re
import threading
import warnings
from typing import Any

WAIT_AT_END_S = 20.0
TIMEOUT_S = 10.0
OPT_OUT = "ML_INTERN_NO_ARTIFACTS"
_METHODS = ("create_repo", "create_commit", "upload_folder")
"""All pushes end in one of them; newer clients commit folders past `create_commit`."""
_PREFIX = {"model": "", "dataset": "datasets/", "space": "spaces/"}
_SANDBOX = re.compile(r".*/sandbox-[a-f0-9]{8}")


class Pushes:
    """What was pushed so far, and the thread that registers it, so that the program does not wait."""

    def __init__(self, client: Any, settings: dict[str, Any], directory: str) -> None:
        self.client = client
        self.settings = settings
        self.directory = directory
        self.seen: dict[tuple[str, str], Any] = {}
        self.tasks: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.has_worker = False

    def watched(self, method: Any) -> Any:
        """`method` of HfApi, which tells us of what it did."""
        signature = inspect.signature(method)

        @functools.wraps(method)
        def call(api: Any, *args: Any, **kwargs: Any) -> Any:
            result = method(api, *args, **kwargs)
            with contextlib.suppress(Exception):
                arguments = signature.bind(api, *args, **kwargs).arguments
                if hasattr(result, "add_done_callback"):  # run_as_future=True
                    result.add_done_callback(lambda done: self.notice(api, arguments, done.result()))
                else:
                    self.notice(api, arguments, result)
            return result

        return call

    def notice(self, api: Any, arguments: dict[str, Any], result: Any) -> None:
        """Let it be registered, if it is a repository's main branch."""
        repo_type, repo_id = arguments.get("repo_type") or "model", str(arguments.get("repo_id"))
        if "/" not in repo_id:  # the person's own; the answer has the whole name
            repo_id = str(getattr(result, "repo_id", None) or result.repo_url.repo_id)
        is_main = not arguments.get("create_pr") and arguments.get("revision") in (None, "main", "refs/heads/main")
        is_wanted = repo_type in _PREFIX and not (repo_type == "space" and _SANDBOX.fullmatch(repo_id))
        is_home = str(api.endpoint).rstrip("/") == self.settings["endpoint"]
        is_opted_out = os.environ.get(OPT_OUT, "0") not in ("", "0")
        if not (is_main and is_wanted and is_home) or is_opted_out or (repo_type, repo_id) in self.seen:
            return
        token = arguments.get("token")
        api = self.client(endpoint=api.endpoint, token=api.token if token is None else token)
        self.seen[repo_type, repo_id] = api
        self.tasks.put(functools.partial(self.collect, api, repo_id, repo_type))
        if not self.has_worker:
            self.has_worker = True
            threading.Thread(target=self.work, name="ml-intern-artifacts", daemon=True).start()

    def work(self) -> None:
        """The thread."""
        while True:
            task = self.tasks.get()
            with contextlib.suppress(Exception):
                task()

    def finish(self) -> None:
        """At the end of the program: the READMEs (before, a commit of ours might come between two of its own), and
        some time for what is still on its way."""
        if not self.has_worker:
            return
        if self.settings["augmented"]:
            for (repo_type, repo_id), api in list(self.seen.items()):
                self.tasks.put(functools.partial(self.card, api, repo_id, repo_type))
        is_done = threading.Event()
        self.tasks.put(is_done.set)
        is_done.wait(WAIT_AT_END_S)

    def forget_worker(self) -> None:
        """In a forked process the thread is not there."""
        self.tasks, self.has_worker = queue.SimpleQueue(), False

    def collect(self, api: Any, repo_id: str, repo_type: str) -> None:
        """Put it into the session's collection, unless another process of this job has."""
        mark = os.path.join(self.directory, f"{repo_type}--{repo_id.replace('/', '--')}")  # noqa: PTH118
        if os.path.exists(mark):  # noqa: PTH110
            return
        slug = self.slug(api)
        api.add_collection_item(slug, repo_id, repo_type, note=self.settings["note"], exists_ok=True)
        _write(mark, "")

    def slug(self, api: Any) -> str:
        """The collection's; it is made if need be, by the first process of the job that needs it."""
        known = os.path.join(self.directory, "collection")  # noqa: PTH118
        if os.path.exists(known):  # noqa: PTH110
            with open(known, encoding="utf-8") as file:  # noqa: PTH123
                return file.read()
        description = self.settings["description"]
        made = api.create_collection(self.settings["title"], description=description, private=True, exists_ok=True)
        _write(known, made.slug)
        return str(made.slug)

    def card(self, api: Any, repo_id: str, repo_type: str) -> None:
        """Add what is missing to the README.md, unless somebody else commits something meanwhile."""
        from huggingface_hub.utils import build_hf_headers, get_session  # type: ignore[attr-defined]

        head = api.repo_info(repo_id, repo_type=repo_type).sha
        url = f"{self.settings['endpoint']}/{_PREFIX[repo_type]}{repo_id}/resolve/{head}/README.md"
        answer = get_session().get(url, headers=build_hf_headers(token=api.token), timeout=TIMEOUT_S)
        if answer.status_code != 404:
            answer.raise_for_status()
        content = answer.content.decode() if answer.status_code != 404 else ""
        augmented = self.settings["augmented"](content, repo_id, repo_type)
        if augmented == content:
            return
        with warnings.catch_warnings():  # of the whole process, which has come to its end
            warnings.simplefilter("ignore")  # what the Hub would like to see in a README
            api.upload_file(
                path_or_fileobj=augmented.encode(),
                path_in_repo="README.md",
                repo_id=repo_id,
                repo_type=repo_type,
                commit_message=self.settings["message"],
                parent_commit=head,
            )


def _write(path: str, text: str) -> None:
    """Whole, or not at all."""
    fresh = f"{path}.{os.getpid()}"
    with open(fresh, "w", encoding="utf-8") as file:  # noqa: PTH123
        file.write(text)
    os.replace(fresh, path)  # noqa: PTH105


def install(hub: Any, directory: str, settings: dict[str, Any]) -> None:
    """Look on at all pushes from now on. `hub` is the module huggingface_hub.hf_api, just loaded.

    `settings`: title, description, note, message, endpoint (texts), augmented (the function of cards, or None).
    """
    pushes = Pushes(hub.HfApi, settings, directory)
    for name in _METHODS:
        setattr(hub.HfApi, name, pushes.watched(getattr(hub.HfApi, name)))
        if getattr(getattr(hub, name, None), "__self__", None) is hub.api:  # the function of the module is a method
            setattr(hub, name, getattr(hub.api, name))
    atexit.register(pushes.finish)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=pushes.forget_worker)

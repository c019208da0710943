"""What a job's own Python pushes is registered, and the job notices nothing of it. Real processes, the real client."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent.hub.artifact_hook import OPT_OUT, hook_source, unwrapped, wrapped
from agent.hub.artifacts import Mode
from agent.hub.cards import MARKER
from tests.fakes.hub import FakeHub

SESSION = "1a2b3c4d-0000-4000-8000-000000000000"
TITLE = "ml-intern-artifacts-2026-01-31-1a2b3c4d"
STARTED = datetime(2026, 1, 31, 12, tzinfo=UTC)
PUSH = "from huggingface_hub import HfApi\napi = HfApi()\n"


class Job:
    """Runs commands as a job would, with the hook in them."""

    def __init__(self, hub: FakeHub, env: dict[str, str], tmp_path: Path) -> None:
        self.hub = hub
        self.temp = tmp_path / "temp"
        self.temp.mkdir()
        self.env = {name: value for name, value in env.items() if name != "HF_HUB_OFFLINE"} | {
            "HF_ENDPOINT": hub.url,
            "HF_TOKEN": hub.token,
            "TMPDIR": str(self.temp),
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        }

    def run(self, *command: str, mode: Mode = "collect", **more: str) -> subprocess.CompletedProcess[str]:
        argv = wrapped(command, SESSION, mode, STARTED, self.hub.url)
        return subprocess.run(argv, env=self.env | more, capture_output=True, text=True, timeout=60, check=False)

    def python(self, code: str, mode: Mode = "collect", **more: str) -> str:
        """What a program that works prints; it must not print anything to stderr."""
        done = self.run(sys.executable, "-c", code, mode=mode, **more)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    def collected(self) -> list[tuple[str, str]]:
        found = list(self.hub.social.collections.by_slug.values())
        assert [(each.title, each.private) for each in found] in ([], [(TITLE, True)])
        return [(item["type"], item["id"]) for each in found for item in each.items]

    def sent(self, path: str) -> int:
        return sum(each.method == "POST" and path in each.path for each in self.hub.requests)


@pytest.fixture
def job(env: dict[str, str], tmp_path: Path) -> Iterator[Job]:
    """A job at a running Hub."""
    with FakeHub() as hub:
        yield Job(hub, env, tmp_path)
        hub.check()


def test_pushes_of_all_kinds_are_collected_once_each(job: Job, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a.txt").write_text("a")
    job.hub.repos.create("acme/folder")
    job.hub.repos.create("tester/future")
    job.hub.repos.create("tester/pr")
    job.hub.repos.create("tester/branch")
    job.python(
        PUSH
        + f"""
import huggingface_hub
from huggingface_hub import CommitOperationAdd, create_repo, upload_file
create_repo("bare", private=True)
upload_file(path_or_fileobj=b"x", path_in_repo="x.txt", repo_id="tester/bare")
api.create_repo("tester/data", repo_type="dataset")
api.create_commit("tester/data", [CommitOperationAdd("x", b"x")], commit_message="m", repo_type="dataset")
api.upload_folder(repo_id="acme/folder", folder_path={str(tmp_path / "folder")!r})
api.upload_file(path_or_fileobj=b"x", path_in_repo="x", repo_id="tester/future", run_as_future=True).result()
api.upload_file(path_or_fileobj=b"x", path_in_repo="x", repo_id="tester/pr", create_pr=True)
api.create_branch("tester/branch", branch="b")
api.upload_file(path_or_fileobj=b"x", path_in_repo="x", repo_id="tester/branch", revision="b")
api.create_repo("tester/sandbox-0123abcd", repo_type="space", space_sdk="docker")
"""
    )
    expected = [("dataset", "tester/data"), ("model", "acme/folder"), ("model", "tester/bare")]
    assert sorted(job.collected()) == [*expected, ("model", "tester/future")]
    assert job.sent("/items") == 4
    assert job.sent("/api/collections") == 5
    assert all(b"README" not in each.raw_body for each in job.hub.requests)


def test_several_processes_of_a_job_register_a_repository_once(job: Job) -> None:
    code = PUSH + "api.create_repo('tester/thing', exist_ok=True)"
    python = f"{shlex.quote(sys.executable)} -c {shlex.quote(code)}"
    done = job.run("sh", "-c", f"{python} && {python}")
    assert (done.returncode, done.stderr) == (0, "")
    assert job.collected() == [("model", "tester/thing")]
    assert (job.sent("/api/collections"), job.sent("/items")) == (2, 1)


def test_the_readme_is_edited_at_the_end_where_that_is_wanted(job: Job) -> None:
    job.python(
        PUSH
        + """
api.create_repo("tester/thing")
card = b"---\\nlicense: mit\\n---\\n# Mine"
first = api.upload_file(path_or_fileobj=card, path_in_repo="README.md", repo_id="tester/thing")
api.upload_file(path_or_fileobj=b"x", path_in_repo="x", repo_id="tester/thing", parent_commit=first.oid)
""",
        mode="card",
    )
    card = job.hub.repos.files("tester/thing")["README.md"].decode()
    assert card.startswith("---\nlicense: mit\ntags:\n- ml-intern\n---\n# Mine\n")
    assert MARKER in card
    assert job.collected() == [("model", "tester/thing")]


def test_a_repository_without_a_readme_gets_one(job: Job) -> None:
    job.python(PUSH + "api.create_repo('tester/data', repo_type='dataset')", mode="card")
    assert b"load_dataset" in job.hub.repos.files("tester/data", "dataset")["README.md"]


@pytest.mark.parametrize("kind", ["answer", "cut"])
def test_trouble_with_the_registering_is_not_the_jobs(job: Job, kind: str) -> None:
    job.hub.fail("*", "collections|resolve|whoami", kind=kind, times=50)
    code = PUSH + "print(api.create_repo('tester/thing').repo_id)"
    assert job.python(code, mode="card") == "tester/thing\n"
    assert job.hub.repos.get("tester/thing") is not None


def test_warnings_of_the_job_are_shown(job: Job) -> None:
    code = PUSH + "api.create_repo('tester/thing')\nimport warnings; warnings.warn('careful')"
    assert "careful" in job.run(sys.executable, "-c", code, mode="card").stderr


def test_errors_of_the_job_stay_its_own(job: Job) -> None:
    job.hub.repos.create("tester/thing")
    done = job.run(sys.executable, "-c", PUSH + "api.create_repo('tester/thing')")
    assert done.returncode == 1
    assert "409" in done.stderr
    assert "pushes" not in done.stderr
    assert job.collected() == []


def test_a_job_can_opt_out(job: Job) -> None:
    code = PUSH + "api.create_repo('tester/thing')"
    job.python(code, **{OPT_OUT: "1"})
    assert list(job.temp.iterdir()) == []
    job.hub.repos.delete("tester/thing")
    job.python(f"import os; os.environ[{OPT_OUT!r}] = '1'\n" + code)
    assert job.collected() == []


def test_pushes_to_another_hub_are_not_ours(job: Job) -> None:
    argv = wrapped(
        (sys.executable, "-c", PUSH + "api.create_repo('tester/thing')"),
        SESSION,
        "collect",
        STARTED,
        "https://hub.example",
    )
    done = subprocess.run(argv, env=job.env, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert job.collected() == []


def test_a_sitecustomize_of_the_job_is_loaded_too(job: Job, tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    (own / "sitecustomize.py").write_text("import sys\nsys.own = __file__\n")
    code = "import sys, sitecustomize; print(sys.own == sitecustomize.__file__, sitecustomize.__name__)"
    assert job.python(code, PYTHONPATH=str(own)) == "True sitecustomize\n"


def test_a_broken_sitecustomize_of_the_job_fails_as_it_would_without_the_hook(job: Job, tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "sitecustomize.py").write_text("import no_such_module\n")
    env = job.env | {"PYTHONPATH": str(tmp_path / "own")}
    command = (sys.executable, "-c", "print('ran')")
    without = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
    done = job.run(*command, PYTHONPATH=env["PYTHONPATH"])
    assert (done.returncode, done.stdout) == (without.returncode, without.stdout) == (0, "ran\n")
    assert "no_such_module" in done.stderr and "no_such_module" in without.stderr


def test_a_python_without_the_hub_imports_nothing_more(job: Job) -> None:
    code = "import sys; print(sorted(set(sys.modules) - {'sitecustomize'}))"
    bare = {"PYTHONPATH": "", "TEST_NETWORK_LOG": ""}
    command = (sys.executable, "-c", code)
    without = subprocess.run(command, env=job.env | bare, capture_output=True, text=True, timeout=60, check=True)
    assert job.python(code, **bare) == without.stdout


def test_words_exit_code_and_input_pass_unchanged(job: Job) -> None:
    words = ["a b", "", "$HOME", "'\"", "*", "-c", "ä\n"]
    code = "import sys; print(sys.argv[1:], sys.stdin.read()); sys.exit(7)"
    argv = wrapped((sys.executable, "-c", code, *words), SESSION, "collect", STARTED, job.hub.url)
    env = job.env | {"PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=60, check=False, input="in")
    assert (done.returncode, done.stdout) == (7, f"{words} in\n")


@pytest.mark.parametrize("missing", ["mktemp", "base64", "gzip"])
def test_an_image_without_the_tools_runs_the_command_all_the_same(job: Job, tmp_path: Path, missing: str) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    for tool in {"mktemp", "base64", "gzip", "rm", "env"} - {missing}:
        found = shutil.which(tool)
        assert found
        (tools / tool).symlink_to(found)
    done = job.run("env", PATH=str(tools), PYTHONPATH="/mine")
    assert (done.returncode, done.stderr) == (0, "")
    assert "PYTHONPATH=/mine" in done.stdout.splitlines()
    assert list(job.temp.iterdir()) == []


def test_the_hook_comes_before_what_is_on_the_path(job: Job) -> None:
    (line,) = [each for each in job.run("env", PYTHONPATH="/mine").stdout.splitlines() if "PYTHONPATH" in each]
    first, second = line.removeprefix("PYTHONPATH=").split(os.pathsep)
    assert Path(first).parent == job.temp
    assert second == "/mine"


@pytest.mark.parametrize("mode", ["collect", "card"])
def test_the_hook_is_small_and_always_the_same(mode: Mode) -> None:
    command = ("python", "train.py")
    argv = wrapped(command, SESSION, mode, STARTED, "https://huggingface.co")
    assert sum(len(word) + 1 for word in argv) - len("python train.py ") < 6 * 1024
    assert argv == wrapped(command, SESSION, mode, STARTED, "https://huggingface.co")
    assert unwrapped(argv) == command == unwrapped(command)


def test_without_anything_to_do_there_is_no_hook() -> None:
    assert wrapped(("x",), SESSION, "off", STARTED, "https://huggingface.co") == ("x",)
    assert wrapped(("x",), "", "collect", STARTED, "https://huggingface.co") == ("x",)
    assert wrapped((), SESSION, "collect", STARTED, "https://huggingface.co") == ()
    assert hook_source(SESSION, "off", STARTED, "https://huggingface.co") == ""

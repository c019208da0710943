"""The argv of a job, really run: by sh, with a uv that is a small shell script."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from agent.compute.job_commands import (
    MAX_WORD_BYTES,
    Script,
    default_env,
    docker_command,
    readable,
    uv_command,
)
from agent.protocol.compute import ComputeError

FAKE_UV = """#!/bin/sh
printf '%s\\n' "$@" >"$UV_LOG"
shift
while [ $# -gt 0 ]; do
  case "$1" in
    --with|--python) shift 2 ;;
    *) exec {python} "$@" ;;
  esac
done
"""
SHOW = "import json, os, sys\nprint(json.dumps([sys.argv[1:], os.path.basename(__file__)]))\n"


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """An environment with the fake uv in its PATH; it logs its arguments to UV_LOG."""
    bin_dir, scratch = tmp_path / "bin", tmp_path / "scratch"
    bin_dir.mkdir()
    scratch.mkdir()
    uv = bin_dir / "uv"
    uv.write_text(FAKE_UV.format(python=sys.executable))
    uv.chmod(0o755)
    path = os.pathsep.join([str(bin_dir), "/usr/bin", "/bin"])
    return {"PATH": path, "UV_LOG": str(tmp_path / "uv.log"), "TMPDIR": str(scratch)}


def run(argv: Sequence[str], environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv, env=environ, capture_output=True, text=True, encoding="utf-8", timeout=60, check=False)


def uv_arguments(environ: dict[str, str]) -> list[str]:
    return Path(environ["UV_LOG"]).read_text("utf-8").splitlines()


HOSTILE = ["a b", "$(touch pwned)", "`id`", "it's", '"q"', "", "*", "-x", "#", "a\nb", "é漢", "@ml-intern-script@"]


def test_arguments_arrive_as_they_are(environ: dict[str, str]) -> None:
    done = run(uv_command(Script(SHOW, name="train.py"), script_args=HOSTILE), environ)
    assert json.loads(done.stdout) == [HOSTILE, "train.py"]
    assert (done.returncode, done.stderr) == (0, "")
    assert not Path("pwned").exists()


def test_dependencies_are_no_redirects(environ: dict[str, str]) -> None:
    command = uv_command(Script(SHOW), dependencies=["torch>=2.0", " trl[vllm]<1 ", ""], python="3.11")
    assert run(command, environ).returncode == 0
    assert uv_arguments(environ)[:7] == ["run", "--with", "torch>=2.0", "--with", "trl[vllm]<1", "--python", "3.11"]
    assert [path.name for path in Path.cwd().iterdir()] == [], "no file called =2.0"


@pytest.mark.parametrize("shell", ["dash", "bash"])
def test_both_usual_shells_understand_it(environ: dict[str, str], shell: str) -> None:
    found = shutil.which(shell)
    if found is None:
        pytest.skip(f"there is no {shell} here")
    command = uv_command(Script(SHOW), script_args=["a b"])
    done = run([found, *command[1:]], environ)
    assert json.loads(done.stdout)[0] == ["a b"]


def test_a_script_of_a_megabyte_that_hardly_compresses(environ: dict[str, str]) -> None:
    letters = "".join(
        random.Random(1).choices("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_", k=10**6)
    )
    text = f"import hashlib\ndata = '{letters}'\nprint(len(data), hashlib.sha256(data.encode()).hexdigest())\n"
    command = uv_command(Script(text))
    assert max(len(word) for word in command) <= MAX_WORD_BYTES
    done = run(command, environ)
    import hashlib

    assert done.stdout.split() == ["1000000", hashlib.sha256(letters.encode()).hexdigest()]


def test_what_does_not_fit_is_refused_with_a_way_out() -> None:
    text = "".join(random.Random(2).choices([chr(code) for code in range(33, 127)], k=2_000_000))
    with pytest.raises(ComputeError, match="Upload it") as caught:
        uv_command(Script(text))
    assert (caught.value.kind, caught.value.nothing_started) == ("bad_request", True)


def test_code_in_other_alphabets_and_its_exit_code(environ: dict[str, str]) -> None:
    done = run(uv_command(Script("import sys\nprint('żółć 漢字 🎉')\nsys.exit(7)")), environ | {"PYTHONUTF8": "1"})
    assert (done.stdout, done.returncode) == ("żółć 漢字 🎉\n", 7)


def test_a_traceback_names_the_script_and_its_line(environ: dict[str, str]) -> None:
    done = run(uv_command(Script("x = 1\nraise ValueError('bad')\n", name="data/my train.py")), environ)
    assert 'my_train.py", line 2' in done.stderr
    assert "raise ValueError('bad')" in done.stderr


def test_nothing_of_the_package_stays_but_the_script(environ: dict[str, str]) -> None:
    run(uv_command(Script(SHOW)), environ)
    assert [path.name for path in Path(environ["TMPDIR"]).rglob("*") if path.is_file()] == ["script.py"]


def test_a_url_is_left_to_uv(environ: dict[str, str]) -> None:
    url = "https://huggingface.co/x/y/resolve/main/a.py?download=true"
    run(uv_command(Script(url=url), dependencies=["a"], script_args=["--n", "1"]), environ)
    assert uv_arguments(environ) == ["run", "--with", "a", url, "--n", "1"]


def test_an_image_without_uv_is_told(environ: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "bin" / "uv").unlink()
    done = run(uv_command(Script(SHOW)), environ | {"PATH": "/usr/bin:/bin"})
    assert done.returncode == 127
    assert "no uv" in done.stderr and "Leave out the image" in done.stderr


def test_the_same_script_makes_the_same_command() -> None:
    assert uv_command(Script("print(1)")) == uv_command(Script("print(1)"))


@pytest.mark.parametrize(
    ("given", "argv"),
    [
        (["python", "-c", "print('a b')"], ("python", "-c", "print('a b')")),
        (["nvidia-smi"], ("nvidia-smi",)),
        (["pip install x && python y.py"], ("/bin/sh", "-c", "pip install x && python y.py")),
    ],
)
def test_commands(given: list[str], argv: tuple[str, ...]) -> None:
    assert docker_command(given) == argv


@pytest.mark.parametrize("given", [[], [" "], ["python", "-c", "x" * (MAX_WORD_BYTES + 1)], ["a\0b"]])
def test_commands_that_cannot_be(given: list[str]) -> None:
    with pytest.raises(ComputeError) as caught:
        docker_command(given)
    assert caught.value.nothing_started


def test_what_people_see_of_a_command() -> None:
    command = uv_command(Script("x" * 500_000, name="sft.py"), dependencies=["torch>=2"], script_args=["--lr", "1 e"])
    assert readable(command) == "uv run --with 'torch>=2' sft.py --lr '1 e'"
    prepared = readable(["/bin/sh", "-c", "prepare", "sh", *command])
    assert prepared == f"/bin/sh -c prepare sh {readable(command)}"
    assert readable(["python", "x y.py"]) == "python 'x y.py'"
    assert "x" * 50 not in repr(Script("x" * 500))


def test_logs_come_at_once_and_without_progress_bars() -> None:
    env = default_env()
    assert env["PYTHONUNBUFFERED"] == "1" and env["TQDM_DISABLE"] == "1"
    assert not any("TRANSFER" in name or "TOKEN" in name for name in env)

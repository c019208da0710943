"""The server inside a sandbox, as a real process on a loopback port."""

from __future__ import annotations

import ast
import json
import os
import socket
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

import agent.compute.sandbox
from tests.unit.compute.sandbox.conftest import runs, until
from tests.unit.compute.sandbox.server_process import KEY, ServerProcess

SENT = ("server.py", "remote_commands.py", "remote_files.py", "remote_requests.py", "remote_text.py")


@pytest.mark.parametrize("name", SENT)
def test_what_is_sent_there_needs_nothing_but_an_old_python(name: str) -> None:
    tree = ast.parse(Path(agent.compute.sandbox.__path__[0], name).read_text("utf-8"), feature_version=(3, 10))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {alias.name for node in imports if isinstance(node, ast.Import) for alias in node.names}
    names |= {str(node.module) for node in imports if isinstance(node, ast.ImportFrom)}
    foreign = {each for each in names if each.partition(".")[0] not in sys.stdlib_module_names}
    assert all(each.startswith("agent.compute.sandbox.remote_") for each in foreign)


# --- the door --------------------------------------------------------------------------------------------------------


def test_health_needs_no_key_and_names_the_build(server: ServerProcess) -> None:
    answer = httpx.get(f"{server.url}/api/health/", trust_env=False)
    assert (answer.status_code, answer.json()) == (200, {"status": "ok", "build": "build-1"})


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": f"Bearer {KEY}"},
        {"X-Sandbox-Authorization": KEY},
        {"X-Sandbox-Authorization": "Bearer"},
        {"X-Sandbox-Authorization": f"Bearer {KEY}x"},
        {"X-Sandbox-Authorization": "Bearer schlüssel".encode()},
    ],
)
@pytest.mark.parametrize("route", ["bash", "kill", "nowhere"])
def test_without_the_right_key_nothing_happens(server: ServerProcess, headers: dict[str, Any], route: str) -> None:
    with httpx.Client(base_url=server.url, trust_env=False) as client:
        answer = client.post(f"/api/{route}", json={"command": "touch unlocked"}, headers=headers)
    assert answer.status_code == 401 and isinstance(answer.json()["detail"], str)
    assert not (server.work_dir / "unlocked").exists()


def test_a_server_without_a_key_serves_nobody(tmp_path: Path) -> None:
    with ServerProcess(tmp_path, token=None, HF_TOKEN="hf_secret") as server:
        for headers in ({"X-Sandbox-Authorization": ""}, server.headers("hf_secret")):
            answer = server.client.post("/api/bash", json={"command": "true"}, headers=headers)
            assert answer.status_code == 503 and "SANDBOX_API_TOKEN" in answer.json()["detail"]
        assert server.client.get("/api/health").status_code == 200


@pytest.mark.parametrize(
    ("route", "body"),
    [
        ("bash", b"{"),
        ("bash", b"[]"),
        ("bash", b"{}"),
        ("bash", b'{"command": 5}'),
        ("bash", b'{"command": "x", "timeout": -1}'),
        ("bash", b'{"command": "x", "timeout": "5"}'),
        ("bash", b'{"command": "x", "timeout": true}'),
        ("run", b'{"command": "x"}'),
        ("run", b'{"command": "x", "call_id": "a", "env": {"A": 1}}'),
        ("run", b'{"command": "x", "call_id": "a", "env": {"SANDBOX_API_TOKEN": "x"}}'),
        ("read", b"{}"),
        ("write", b'{"path": "x"}'),
        ("edit", b'{"path": "x", "old_str": "a"}'),
        ("exists", b"{}"),
    ],
)
def test_a_request_that_does_not_fit_is_a_422(server: ServerProcess, route: str, body: bytes) -> None:
    answer = server.client.post(f"/api/{route}", content=body)
    assert answer.status_code == 422 and answer.json()["detail"]


def test_too_large_a_body_is_refused_unread(server: ServerProcess) -> None:
    port = int(server.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        head = f"PUT /api/file?path=x HTTP/1.1\r\nHost: x\r\nX-Sandbox-Authorization: Bearer {KEY}\r\n"
        connection.sendall(f"{head}Content-Length: 99999999999\r\n\r\n".encode())
        assert connection.recv(4096).startswith(b"HTTP/1.1 413")


def test_a_route_that_is_not_there(server: ServerProcess) -> None:
    assert server.post("nowhere").status_code == 404


@pytest.mark.parametrize(
    ("head", "status"),
    [
        ("GET http://[ HTTP/1.1", 400),
        ("POST http://[/api/bash HTTP/1.1\r\nContent-Length: 0", 400),
        ("POST /api/bash HTTP/1.1", 411),
        ("POST /api/bash HTTP/1.1\r\nContent-Length: ", 411),
        ("POST /api/bash HTTP/1.1\r\nTransfer-Encoding: chunked", 411),
        ("POST /api/bash HTTP/1.1\r\nContent-Length: 2\r\nContent-Length: 9", 400),
        ("POST /api/bash HTTP/1.1\r\nContent-Length: " + "9" * 5000, 413),
        ("PUT /api/file?path=x HTTP/1.1\r\nContent-Length: 60000000", 401),
    ],
)
def test_what_makes_no_sense_is_answered_before_anything_is_read(
    server: ServerProcess, head: str, status: int, capfd: pytest.CaptureFixture[str]
) -> None:
    """Nobody has shown a key here."""
    port = int(server.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(f"{head}\r\nHost: x\r\n\r\n".encode())
        answer = b"".join(iter(lambda: connection.recv(4096), b""))  # to the end: it closes the connection
    assert answer.startswith(b"HTTP/1.1 %d" % status) and answer.count(b"HTTP/1.1") == 1
    assert "Traceback" not in capfd.readouterr().err


def test_none_of_its_processes_is_called_python(server: ServerProcess) -> None:
    """`pkill -f python` and `killall python` in the sandbox must not end the sandbox."""
    family = _family(server.process.pid)
    assert len(family) >= 2
    for pid in family:
        # the tests' own directories may have any name
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(str(server.root).encode(), b"")
        assert b"python" not in command and b"python" not in Path(f"/proc/{pid}/comm").read_bytes()
    dockerfile = server.files["Dockerfile"].decode()
    assert 'CMD ["/opt/sandbox/sandboxd", ' in dockerfile and "/opt/sandbox/sandboxd\n" in dockerfile


# --- commands --------------------------------------------------------------------------------------------------------


def test_bash_answers_with_output_and_exit_code(server: ServerProcess) -> None:
    assert server.bash("echo out; echo err >&2; pwd") == {
        "success": True,
        "output": f"out\nerr\n{server.work_dir}",
        "error": "",
    }
    assert server.bash("exit 3") == {"success": False, "output": "(no output)", "error": "Exit code 3"}
    assert server.bash("kill -9 $$")["error"] == "Exit code 137"
    assert server.bash("printf 'a\\xffb'")["output"] == "a\ufffdb"
    assert server.bash("cat")["output"] == "(no output)"  # no input to wait for
    refused = server.post("bash", command="true", work_dir="not/there")
    assert refused.status_code == 400 and "not/there" in refused.json()["detail"]


def test_at_its_time_limit_a_command_ends_with_its_children(server: ServerProcess) -> None:
    said = server.bash("echo begun; sleep 300 & echo $! > child; timeout 300 sleep 300", timeout=0.5)
    assert said == {"success": False, "output": "begun", "error": "Timeout after 0.5s"}
    child = (server.work_dir / "child").read_text().strip()
    assert not runs(child)


def test_one_that_ignores_the_signal_is_killed(server: ServerProcess) -> None:
    said = server.bash("trap '' TERM; echo $$ > stubborn; while true; do sleep 0.1; done", timeout=0.3)
    assert said["error"] == "Timeout after 0.3s"
    assert not runs((server.work_dir / "stubborn").read_text().strip())


def test_background_children_do_not_hold_up_the_answer_and_keep_their_file(server: ServerProcess) -> None:
    events = _events(server, "sleep 30 & echo $! > back; echo started", "background-1")
    assert events[-1]["output"] == "started" and events[-1]["background"] is True
    pid = int((server.work_dir / "back").read_text())
    assert Path(events[-1]["spill_path"]).exists() and runs(pid)
    os.kill(pid, 9)


def test_long_output_is_cut_in_the_middle_and_kept(server: ServerProcess) -> None:
    last = _events(server, "seq 1 20000", "long-1")[-1]
    assert last["truncated"] and last["output"].startswith("1\n2\n") and "20000" in last["output"]
    assert 25_000 < len(last["output"]) < 25_500 and last["spill_path"] in last["output"]
    assert server.bash(f"tail -n1 {last['spill_path']}; stat -c %a {last['spill_path']}")["output"] == "20000\n600"


def test_short_output_leaves_no_file(server: ServerProcess) -> None:
    _events(server, "echo x", "short-1")
    assert not list(server.temp_dir.glob("bash_output_short-1*"))


def test_progress_bars_and_colours_are_shown_as_a_terminal_would(server: ServerProcess) -> None:
    assert server.bash(r"printf '10%%\r50%%\r100%% done\n\033[31mred\033[0m\n'")["output"] == "100% done\nred"


async def test_a_client_that_leaves_ends_its_command(server: ServerProcess) -> None:
    async with httpx.AsyncClient(base_url=server.url, headers=server.headers(), trust_env=False) as client:
        with pytest.raises(httpx.ReadTimeout):
            body = {"command": "sleep 300 & echo $! > left; echo $$ > leaver; wait"}
            await client.post("/api/bash", json=body, timeout=httpx.Timeout(10, read=1.0))
    pids = [(server.work_dir / name).read_text().strip() for name in ("left", "leaver")]
    await until(lambda: not any(runs(pid) for pid in pids))


async def test_a_follower_that_leaves_may_come_back_before_the_command_is_ended(tmp_path: Path) -> None:
    with ServerProcess(tmp_path, SANDBOX_GRACE_S="10") as server:
        body = {
            "call_id": "back",
            "command": "echo one; while [ ! -e go ]; do sleep 0.02; done; echo two >> ran; cat ran",
        }
        with server.client.stream("POST", "/api/run", json=body) as stream:
            for line in stream.iter_lines():
                if json.loads(line).get("text") == "one\n":
                    break
        with server.client.stream("POST", "/api/run", json=body | {"offset": 4}) as stream:
            lines = stream.iter_lines()
            assert json.loads(next(lines)) == {"event": "started"}
            (server.work_dir / "go").touch()
            events = [json.loads(line) for line in lines]
        assert [event["text"] for event in events if event["event"] == "output"] == ["two\n"]
        assert events[-1]["output"] == "one\ntwo" and events[-1]["exit_code"] == 0


async def test_a_follower_that_does_not_come_back_ends_the_command(server: ServerProcess) -> None:
    with server.client.stream("POST", "/api/run", json={"call_id": "gone", "command": "echo $$; sleep 300"}) as stream:
        events = (json.loads(line) for line in stream.iter_lines())
        pid = next(event["text"].strip() for event in events if event["event"] == "output")
    await until(lambda: not runs(pid))


def test_a_call_that_is_sent_twice_runs_once(server: ServerProcess) -> None:
    first = _events(server, "echo x >> twice; wc -l < twice", "twice-1")[-1]
    again = _events(server, "echo x >> twice; wc -l < twice", "twice-1")[-1]
    assert first == again and first["output"] == "1"


def test_to_attach_starts_nothing(server: ServerProcess) -> None:
    answer = server.post("run", call_id="never", attach=True)
    assert answer.status_code == 404 and answer.json()["kind"] == "not_found"


async def test_kill_ends_one_call_or_all(server: ServerProcess) -> None:
    import asyncio

    async def run(call_id: str) -> dict[str, Any]:
        command = f"touch {call_id}.pid; trap '' TERM; sleep 300; sleep 300"
        return (await asyncio.to_thread(_events, server, command, call_id))[-1]

    running = {name: asyncio.ensure_future(run(name)) for name in ("k1", "k2", "k3")}
    await until(lambda: all((server.work_dir / f"{name}.pid").exists() for name in running))
    assert (await asyncio.to_thread(server.post, "kill", call_id="k1")).json()["count"] == 1
    ended = await running["k1"]
    assert ended["killed"] and ended["exit_code"] is None and not running["k2"].done()
    assert (await asyncio.to_thread(server.post, "kill")).json()["count"] == 2
    assert (await running["k2"])["killed"] and (await running["k3"])["killed"]


def test_a_kill_that_overtakes_its_command_keeps_it_from_starting(server: ServerProcess) -> None:
    assert server.post("kill", call_id="late").json()["count"] == 0
    last = _events(server, "touch too-late", "late")[-1]
    assert last["killed"] and not (server.work_dir / "too-late").exists()


async def test_work_in_the_background_keeps_output_and_exit_code(server: ServerProcess) -> None:
    body = {"call_id": "work-1", "command": "echo hello; exit 7", "directory": "work-1"}
    assert server.post("start", **body).json() == {"started": True}
    await until(lambda: (server.work_dir / "work-1" / "exit").exists())
    assert (server.work_dir / "work-1" / "output.log").read_text() == "hello\n"
    assert json.loads((server.work_dir / "work-1" / "exit").read_text())["exit_code"] == 7
    assert server.post("start", **body).json() == {"started": False}
    limited = server.post("start", call_id="work-2", command="sleep 300", directory="work-2", timeout=0.2)
    assert limited.json() == {"started": True}
    await until(lambda: (server.work_dir / "work-2" / "exit").exists())
    assert json.loads((server.work_dir / "work-2" / "exit").read_text())["timed_out"] is True


async def test_the_room_for_the_end_of_a_command_is_taken_at_its_start(server: ServerProcess) -> None:
    """Else a command that fills the disk never ends, and is paid for."""
    body = {"call_id": "room", "command": "until [ -e room-go ]; do sleep 0.02; done; exit 4", "directory": "room"}
    assert server.post("start", **body).json() == {"started": True}
    kept = server.work_dir / "room" / "exit.new"
    before = kept.stat()
    assert before.st_size >= 200 and before.st_blocks > 0
    (server.work_dir / "room-go").touch()
    await until(lambda: (server.work_dir / "room" / "exit").exists())
    after = (server.work_dir / "room" / "exit").stat()
    assert (after.st_ino, after.st_size) == (before.st_ino, before.st_size) and not kept.exists()
    assert json.loads((server.work_dir / "room" / "exit").read_text())["exit_code"] == 4


async def test_output_makes_room_where_there_is_none_left(server: ServerProcess) -> None:
    """A full disk takes nothing more, until something is cut off."""
    fill = "ln -sf /dev/full full/exit.new; head -c 3000000 /dev/zero"
    assert server.post("start", call_id="full", command=fill, directory="full").json() == {"started": True}
    await until(lambda: (server.work_dir / "full" / "output.log").stat().st_size == 0)
    assert server.bash("echo still there")["output"] == "still there"


# --- what commands may know ------------------------------------------------------------------------------------------


def test_no_secret_of_the_server_reaches_a_command(tmp_path: Path) -> None:
    token = "hf_account"
    with ServerProcess(tmp_path, HF_TOKEN=token, HUGGING_FACE_HUB_TOKEN=token, WANDB_KEY="for-commands") as server:
        env = server.bash("env")["output"]
        assert KEY not in env and token not in env and "SANDBOX_" not in env and "for-commands" in env
        # nor where the kernel shows it: this test may run as root, which sees everything
        seen = server.bash("cat /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n' | grep -c SANDBOX_API_TOKEN")
        own = [pid for pid in _family(server.process.pid) if KEY.encode() in Path(f"/proc/{pid}/environ").read_bytes()]
        assert own == [] and seen["output"].isdecimal()
        last = _events(server, "echo $HF_TOKEN", "asks-for-it", env={"HF_TOKEN": "hf_given"})[-1]
        assert last["output"] == "hf_given"
        assert server.bash("echo $HF_TOKEN")["output"] == "(no output)", "it is for the one command"


def test_what_comes_with_one_command_is_seen_by_it_alone(tmp_path: Path) -> None:
    secret = "hf_of_one_command"
    with ServerProcess(tmp_path) as server:
        wait = "echo $HF_TOKEN > seen; until [ -e go ]; do sleep 0.05; done; exit 1"
        directory = str(tmp_path / "app" / "work")
        server.post("start", call_id="one", command=wait, directory=directory, env={"HF_TOKEN": secret})
        while not (server.work_dir / "seen").exists() or not (server.work_dir / "seen").read_text().strip():
            server.bash("sleep 0.05")
        assert (server.work_dir / "seen").read_text().strip() == secret
        for pid in _family(server.process.pid):
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
            assert secret.encode() not in command
            if b"sandbox_server" in command:
                assert secret.encode() not in Path(f"/proc/{pid}/environ").read_bytes()
        (server.work_dir / "go").touch()
        refused = server.post("run", call_id="two", command="true", work_dir="/no/such", env={"HF_TOKEN": secret})
        assert refused.status_code == 400 and secret not in refused.text
        server.process.terminate()
        assert server.process.stdout is not None and secret not in server.process.stdout.read()
    assert [path for path in tmp_path.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()] == [
        server.work_dir / "seen"
    ]


async def test_orphans_are_taken_over_and_reaped(server: ServerProcess) -> None:
    server.bash("(setsid sh -c 'echo $$ > orphan.new; mv orphan.new orphan; exec sleep 300' &)")
    await until((server.work_dir / "orphan").exists)
    pid = int((server.work_dir / "orphan").read_text())
    parent = f"PPid:\t{server.process.pid}\n"
    await until(lambda: parent in Path(f"/proc/{pid}/status").read_text())
    os.kill(pid, 9)
    await until(lambda: not Path(f"/proc/{pid}").exists())  # a zombie would still be there


def test_the_order_to_end_ends_server_and_all(tmp_path: Path) -> None:
    with ServerProcess(tmp_path) as server:
        server.bash("sleep 300 > /dev/null 2>&1 & setsid sleep 300 > /dev/null 2>&1 & echo $! > last; sleep 0.1")
        family = [*_family(server.process.pid), int((server.work_dir / "last").read_text())]
        assert len(family) >= 3
    assert not any(runs(pid) for pid in family)


# --- files -----------------------------------------------------------------------------------------------------------


def test_the_plain_file_routes(server: ServerProcess) -> None:
    assert server.post("exists", path="new/a.py").json()["output"] == "false"
    said = server.post("write", path="new/a.py", content="x = 1\ny = (\n").json()
    assert said["success"] and "Wrote 12 bytes" in said["output"] and "not valid Python" in said["output"]
    assert server.post("exists", path="new/a.py").json()["output"] == "true"
    assert server.post("read", path="new/a.py").json()["output"] == "     1\tx = 1\n     2\ty = ("
    said = server.post("edit", path="new/a.py", old_str="(", new_str="2").json()
    assert said == {"success": True, "output": f"Edited {server.work_dir}/new/a.py (1 replaced)", "error": ""}
    for mode, result in (("append_after", "x = 1!\n"), ("prepend_before", "?x = 1!\n")):
        server.post("edit", path="new/a.py", old_str="x = 1" if mode[0] == "a" else "x", new_str=result[0], mode=mode)
    server.post("write", path="b.txt", content="a\na\n")
    said = server.post("edit", path="b.txt", old_str="a", new_str="b").json()
    assert not said["success"] and "at lines 1, 2" in said["error"]
    assert server.post("edit", path="b.txt", old_str="a", new_str="b", replace_all=True).json()["success"]
    assert (server.work_dir / "b.txt").read_text() == "b\nb\n"
    for bad in ({"old_str": " ", "new_str": "x"}, {"old_str": "zz", "new_str": "x"}):
        assert server.post("edit", path="b.txt", **bad).json()["success"] is False


def test_a_page_of_a_file(server: ServerProcess) -> None:
    (server.work_dir / "page").write_bytes(b"\xef\xbb\xbfone\r\n" + b"x" * 1_000_000 + b"\nthree\n")
    said = server.post("read", path="page").json()["output"].split("\n")
    assert said[0] == "     1\tone" and len(said[1]) < 4100 and said[2] == "     3\tthree"
    said = server.post("read", path="page", offset=1, limit=1).json()["output"]
    assert said == "     1\tone\n[2 more lines; go on with offset 2]"
    assert "no line 9" in server.post("read", path="page", offset=9).json()["error"]
    (server.work_dir / "empty").touch()
    assert server.post("read", path="empty").json()["output"] == "(the file is empty)"


@pytest.mark.parametrize(
    ("path", "words"), [("missing", "no such file"), (".", "a directory"), ("/dev/zero", "device"), ("pipe", "pipe")]
)
def test_what_is_no_file_cannot_be_read(server: ServerProcess, path: str, words: str) -> None:
    if path == "pipe" and not (server.work_dir / "pipe").exists():
        os.mkfifo(server.work_dir / "pipe")
    said = server.post("read", path=path).json()
    assert not said["success"] and words in said["error"]
    raw = server.client.get("/api/file", params={"path": path})
    assert raw.status_code == (404 if path == "missing" else 400) and words in raw.json()["detail"]


def test_bytes_go_in_and_out_unchanged(server: ServerProcess) -> None:
    data = bytes(range(256)) * 5000
    put = server.client.put("/api/file", params={"path": "raw/data & more", "expect": "absent"}, content=data)
    assert put.status_code == 200 and put.json()["size_bytes"] == len(data)
    get = server.client.get("/api/file", params={"path": "raw/data & more"})
    assert get.content == data
    part = server.client.get("/api/file", params={"path": "raw/data & more", "offset": 255, "limit": 3})
    assert part.content == b"\xff\x00\x01"


def test_a_write_is_refused_unless_the_file_is_what_the_writer_saw(server: ServerProcess) -> None:
    def put(content: bytes, **params: str) -> httpx.Response:
        return server.client.put("/api/file", params={"path": "guarded", **params}, content=content)

    first = put(b"one", expect="absent").json()["sha256"]
    assert put(b"two", expect="absent").status_code == 409
    assert put(b"one", expect="absent").status_code == 200  # the answer to the first was lost
    second = put(b"two", expect=first).json()["sha256"]
    refused = put(b"three", expect=first)
    assert refused.status_code == 409 and refused.json()["kind"] == "conflict"
    assert (server.work_dir / "guarded").read_bytes() == b"two"
    (server.work_dir / "guarded").unlink()
    assert put(b"three", expect=second).status_code == 409
    assert put(b"whatever").status_code == 200


def test_a_write_keeps_mode_and_link_and_leaves_nothing_beside(server: ServerProcess) -> None:
    place = server.work_dir / "kept"
    place.mkdir()
    (place / "script").write_bytes(b"old")
    (place / "script").chmod(0o751)
    (place / "link").symlink_to("script")
    assert server.client.put("/api/file", params={"path": "kept/link"}, content=b"new").status_code == 200
    assert (place / "link").is_symlink() and (place / "script").read_bytes() == b"new"
    assert (place / "script").stat().st_mode & 0o777 == 0o751
    assert sorted(path.name for path in place.iterdir()) == ["link", "script"]


def test_stat(server: ServerProcess) -> None:
    (server.work_dir / "s").write_bytes(b"abc")
    said = server.post("stat", path="s", digest=True).json()
    assert (said["kind"], said["size_bytes"], said["sha256"][:8]) == ("file", 3, "ba7816bf")
    assert server.post("stat", path=".").json()["kind"] == "dir"
    assert server.post("stat", path="~").json()["path"] == str(server.root / "home")
    assert server.post("stat", path="missing").status_code == 404


def _events(server: ServerProcess, command: str, call_id: str, **more: Any) -> list[dict[str, Any]]:
    answer = httpx.post(
        f"{server.url}/api/run",
        json={"call_id": call_id, "command": command, **more},
        headers=server.headers(),
        trust_env=False,
        timeout=30,
    )
    assert answer.status_code == 200, answer.text
    return [json.loads(line) for line in answer.text.splitlines()]


def _family(pid: int) -> list[int]:
    """A process and its children."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *map(int, children)]

"""`hf_jobs`: what the person is told before a job runs, over a fake Hub."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.protocol.tools import CostEstimate, Preflight
from tests.fakes.hub import TOKEN
from tests.unit.tools.hf_jobs_kit import Bench, made_bench


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with made_bench(tmp_path) as made:
        yield made


TRAINS = "trainer = SFTTrainer(args=SFTConfig(push_to_hub=True, hub_model_id='me/model'))\ntrainer.train()"


async def test_the_facts_of_a_run(bench: Bench) -> None:
    ahead = await bench.ahead("run", script=TRAINS, hardware_flavor="a10g-large", timeout="2h")
    assert ahead.problem is None
    assert ahead.estimate == CostEstimate(3.0, "the job on a10g-large for 2 h")
    assert ahead.hints == ()
    facts = dict(ahead.facts)
    assert facts["namespace"] == "tester"
    assert facts["hardware"].startswith("a10g-large: 12 vCPU, 46 GB")
    assert "24 GB" in facts["hardware"] and facts["hardware"].endswith("$1.50/h")
    assert facts["time limit"] == "2 h"
    assert facts["at most"] == "$3.00"
    assert facts["image"].startswith("ghcr.io/astral-sh/uv")
    assert facts["saves to"] == "me/model"
    assert not bench.desk.submitted


@pytest.mark.parametrize(
    ("code", "saves_to"),
    [
        ("model.push_to_hub('me/a-b')", "me/a-b"),
        ('upload_folder(repo_id="me/x", folder_path="o")', "me/x"),
        ("hf upload me/y ./out", "me/y"),
        ("args = C(push_to_hub=True)", "the Hub (where is not seen)"),
        ("args = C(push_to_hub=False)", "nothing seen"),
        ("load_dataset(repo_id='a/b')", "nothing seen"),
        ("print(1)", "nothing seen"),
    ],
)
async def test_where_results_go(bench: Bench, code: str, saves_to: str) -> None:
    assert dict((await bench.ahead("run", script=f"{code}\n")).facts)["saves to"] == saves_to


async def test_where_results_go_for_commands_paths_and_urls(bench: Bench) -> None:
    (bench.session.workspace / "t.py").write_text(TRAINS)
    assert dict((await bench.ahead("run", script="t.py")).facts)["saves to"] == "me/model"
    command = ["python", "train.py", "--push_to_hub", "--hub_model_id", "me/cli"]
    assert dict((await bench.ahead("run", command=command)).facts)["saves to"] == "me/cli"
    url = dict((await bench.ahead("run", script="https://x.org/t.py")).facts)
    assert url["saves to"] == "not known: the script was not read"
    assert url["script from"] == "https://x.org/t.py"


async def test_hints_of_training_that_would_be_lost(bench: Bench) -> None:
    lost = "trains, but pushes nothing to the Hub: what it makes is lost when the job ends"
    (bench.session.workspace / "t.py").write_text("trainer.train()\n")
    ahead = await bench.ahead("run", script="t.py")
    assert ahead.hints[0] == lost
    assert "default time limit of 30 min" in ahead.hints[1]
    assert dict(ahead.facts)["time limit"] == "30 min (the default)"
    assert (await bench.ahead("run", script="t.py", timeout="4h")).hints == (lost,)
    saved = await bench.ahead("run", script="t.py", timeout="4h", script_args=["--hub_model_id", "me/m"])
    assert saved.hints == ()
    assert "lost when the job ends" in (await bench.ahead("run", script="torch.save(m, 'x')")).hints[0]
    inline = await bench.ahead("run", script="trainer.train()", timeout="4h")
    assert inline.hints == (lost,)
    assert (await bench.ahead("run", script="print(1)")).hints == ()


async def test_a_key_in_the_script_is_pointed_out_and_not_repeated(bench: Bench) -> None:
    ahead = await bench.ahead("run", script=f"login('{TOKEN}')")
    assert ["has a key in the script" in hint for hint in ahead.hints] == [True]
    assert TOKEN not in repr(ahead)


@pytest.mark.parametrize("operation", ["run", "scheduled run"])
async def test_unknown_hardware_names_near_ones_and_all(bench: Bench, operation: str) -> None:
    ahead = await bench.ahead(operation, script="x = 1", hardware_flavor="h100", schedule="@daily")
    assert ahead.problem is not None
    assert "h200" in ahead.problem.splitlines()[0]
    assert "a10g-large: 12 vCPU" in ahead.problem


async def test_prices_are_those_of_the_hub_or_said_to_be_of_the_table(bench: Bench) -> None:
    bench.hub.jobs.hardware = [{**row, "unitCostUSD": 0.1} for row in bench.hub.jobs.hardware]
    ahead = await bench.ahead("run", script="x = 1", hardware_flavor="t4-small", timeout="1h")
    assert ahead.estimate is not None and ahead.estimate.usd == pytest.approx(6.0)


async def test_without_prices_from_the_hub_the_table_is_named(bench: Bench) -> None:
    bench.hub.fail("GET", "/api/jobs/hardware", status=500, times=9)
    ahead = await bench.ahead("run", script="x = 1", hardware_flavor="t4-small", timeout="1h")
    assert ahead.estimate is not None and ahead.estimate.usd == pytest.approx(0.4)
    assert "by the table of this program" in dict(ahead.facts)["hardware"]


async def test_a_price_that_nobody_knows_is_unknown(bench: Bench) -> None:
    bench.hub.jobs.hardware = [
        {**row, "unitCostUSD": None, "unitLabel": "moon"} if row["name"] == "t4-small" else row
        for row in bench.hub.jobs.hardware
    ]
    ahead = await bench.ahead("run", script="x = 1", hardware_flavor="t4-small")
    assert ahead.estimate is not None and ahead.estimate.usd is None
    assert dict(ahead.facts)["at most"].startswith("not known")


async def test_a_namespace_of_somebody_else_is_a_problem(bench: Bench) -> None:
    ahead = await bench.ahead("run", script="x = 1", namespace="somebody")
    assert ahead.problem == "This token may not run anything under somebody. Allowed: tester, acme."
    assert dict((await bench.ahead("run", script="x = 1", namespace="acme")).facts)["namespace"] == "acme"


async def test_a_hub_that_does_not_know_the_token_is_a_problem(bench: Bench) -> None:
    bench.hub.token = "another"
    ahead = await bench.ahead("run", script="x = 1")
    assert ahead.problem is not None and "token is not accepted" in ahead.problem


async def test_a_hub_that_cannot_be_reached_leaves_a_named_namespace_unchecked(bench: Bench) -> None:
    bench.hub.fail("GET", "/api/whoami-v2", status=500, times=99)
    ahead = await bench.ahead("run", script="x = 1", namespace="acme")
    assert dict(ahead.facts)["namespace"] == "acme (not checked: the Hub cannot be reached)"
    assert (await bench.ahead("run", script="x = 1")).problem is not None


async def test_who_cannot_pay_is_hinted(bench: Bench) -> None:
    answer = {"name": "tester", "canPay": False, "orgs": [{"name": "acme", "canPay": True}]}
    bench.hub.fail("GET", "/api/whoami-v2", status=200, body=answer, times=9)
    ahead = await bench.ahead("run", script="x = 1")
    assert ahead.problem is None
    assert any("has no way to pay" in hint for hint in ahead.hints)
    assert not (await bench.ahead("run", script="x = 1", namespace="acme")).hints


async def test_a_script_that_no_job_can_hold_is_a_problem(bench: Bench) -> None:
    noise = "".join(f"{number * 2654435761 % 2**32:08x}{number * 40503 % 65536:04x}" for number in range(260_000))
    ahead = await bench.ahead("run", script=f"x = '''\n{noise}'''")
    assert ahead.problem is not None and "too long" in ahead.problem


async def test_other_places(bench: Bench) -> None:
    local = await bench.ahead("run", backend="local", script="trainer.train()")
    assert local.estimate is None
    assert local.hints == ()
    assert dict(local.facts) == {"runs on": "this machine, free", "time limit": "30 min (the default)"}
    sandbox = await bench.ahead("run", backend="hf_sandbox", script="x = 1", hardware_flavor="t4-small", timeout="2h")
    assert sandbox.estimate == CostEstimate(1.2, "the sandbox on t4-small for 2 h")
    unknown = await bench.ahead("run", backend="hf_sandbox", script="x = 1", hardware_flavor="h200")
    assert unknown.problem == "There is no sandbox on h200. Near it: t4-small."


async def test_a_schedule_costs_by_the_run(bench: Bench) -> None:
    ahead = await bench.ahead(
        "scheduled run", script="x = 1", schedule="@daily", hardware_flavor="a10g-large", timeout="2h"
    )
    assert ahead.estimate is None
    assert dict(ahead.facts)["at most"] == "$3.00 for each run (@daily), $90.00 in 30 days"


async def test_what_would_be_resumed_is_shown(bench: Bench) -> None:
    await bench.call("scheduled run", command=["echo", "again"], schedule="@daily", hardware_flavor="t4-small")
    [one] = bench.hub.jobs.scheduled
    facts = dict((await bench.ahead("scheduled resume", scheduled_job_id=one)).facts)
    assert (facts["schedule"], facts["command"]) == ("@daily", "echo again")
    assert facts["hardware"].startswith("t4-small: 4 vCPU")
    assert (await bench.ahead("scheduled resume", scheduled_job_id="nosuch")).problem is not None


@pytest.mark.parametrize("operation", ["ps", "logs", "inspect", "cancel", "wait", "scheduled ps", "scheduled delete"])
async def test_what_starts_nothing_is_not_looked_into(bench: Bench, operation: str) -> None:
    assert await bench.ahead(operation, job_id="x") == Preflight()
    assert not bench.hub.requests


def test_the_estimate_from_arguments_alone(bench: Bench) -> None:
    estimate = bench.spec.estimate_cost
    assert estimate({"operation": "run", "script": "x=1", "hardware_flavor": "a10g-large", "timeout": "2h"}) == (
        CostEstimate(3.0, "the job on a10g-large for 2 h")
    )
    unknown = estimate({"operation": "run", "script": "x=1", "hardware_flavor": "moon"})
    assert unknown is not None and unknown.usd is None
    assert estimate({"operation": "run", "script": "x=1", "backend": "local"}) is None
    assert estimate({"operation": "run"}) is None
    assert estimate({"operation": "ps"}) is None
    assert estimate({"operation": "scheduled run", "script": "x=1", "schedule": "@daily"}) is None

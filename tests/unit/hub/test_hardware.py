"""Hardware and prices: the Hub's list, and the table."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from agent.hub.hardware import FAILURE_FRESH_S, FRESH_S, SPACE_FLAVORS, TABLE, job_hardware, space_price
from tests.fakes.hub import FakeHub
from tests.fakes.hub_hardware import hardware
from tests.unit.compute.jobs_hub import account_at, fake_hub


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with fake_hub() as fake:
        yield fake


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


async def test_the_hubs_list_as_the_client_reads_it(hub: FakeHub) -> None:
    catalogue = await job_hardware(account_at(hub))
    assert catalogue.source == "live"
    flavor = catalogue.find(" L40sx4 ")
    assert flavor is not None
    assert (flavor.cpu, flavor.ram, flavor.accelerator, flavor.vram_gb) == ("48 vCPU", "382 GB", "4x L40S", 192.0)
    assert (flavor.usd_per_hour, flavor.is_gpu) == (8.3, True)
    cpu = catalogue.find("cpu-basic")
    assert cpu is not None and (cpu.usd_per_hour, cpu.is_gpu, cpu.vram_gb) == (0.01, False, None)


async def test_the_table_agrees_with_the_list_on_prices_and_memory(hub: FakeHub) -> None:
    live = await job_hardware(account_at(hub))
    of_table = {
        name: (each.usd_per_hour, each.vram_gb, each.cpu, each.ram, each.is_gpu) for name, each in TABLE.flavors.items()
    }
    assert {
        name: (each.usd_per_hour, each.vram_gb, each.cpu, each.ram, each.is_gpu) for name, each in live.flavors.items()
    } == of_table


@pytest.mark.parametrize(
    ("unit", "cost", "usd_per_hour"),
    [("minute", 0.025, 1.5), ("hour", 1.5, 1.5), ("second", 0.001, 3.6), ("minutes", "0.05", 3.0), ("moon", 1.0, None)],
)
async def test_units(hub: FakeHub, unit: str, cost: object, usd_per_hour: float | None) -> None:
    hub.jobs.hardware = [hardware("new", "1", "2", 1.0) | {"unitLabel": unit, "unitCostUSD": cost}]
    flavor = (await job_hardware(account_at(hub))).find("new")
    assert flavor is not None and flavor.usd_per_hour == usd_per_hour
    assert ("price unknown" in flavor.text) == (usd_per_hour is None)


@pytest.mark.parametrize(
    "fault", [{"status": 500}, {"kind": "cut"}, {"status": 200, "body": b"[{}]"}, {"status": 200, "body": b"[]"}]
)
async def test_the_table_stands_in(hub: FakeHub, fault: dict[str, object]) -> None:
    hub.fail("GET", "/hardware$", times=9, **fault)
    catalogue = await job_hardware(account_at(hub))
    assert catalogue is TABLE


async def test_a_hub_that_hangs_is_not_waited_for(hub: FakeHub) -> None:
    hub.fail("GET", "/hardware$", kind="stall")
    async with asyncio.timeout(20):
        assert (await job_hardware(account_at(hub), wait_s=0.05)).source == "table"


async def test_it_is_asked_every_six_hours_and_sooner_after_a_failure(hub: FakeHub) -> None:
    account, clock = account_at(hub), Clock()

    async def asked() -> int:
        await job_hardware(account, clock=clock)
        return len(hub.requests)

    hub.fail("GET", "/hardware$", status=500)
    assert [await asked(), await asked()] == [1, 1]
    clock.now += FAILURE_FRESH_S + 1
    assert [await asked(), await asked()] == [2, 2]
    clock.now += FRESH_S - 1
    assert await asked() == 2
    clock.now += 2
    assert await asked() == 3


async def test_another_endpoint_has_another_list(hub: FakeHub) -> None:
    account = account_at(hub)
    assert (await job_hardware(account)).find("special") is None
    with fake_hub() as other:
        other.jobs.hardware = [hardware("special", "1", "2", 1.0)]
        account.environ = {"HF_ENDPOINT": other.url}
        assert (await job_hardware(account)).find("special") is not None


def test_near_names() -> None:
    assert TABLE.near("h100")[0].startswith("h200")
    assert "a100-large" in TABLE.near("a100")
    assert "a10g-large" in TABLE.near("a10-large")
    assert TABLE.near("quantum") == ()
    assert "h200" in TABLE.unknown("h100") and "cpu-basic" in TABLE.unknown("quantum")


def test_the_menu_has_a_line_for_each() -> None:
    lines = TABLE.menu().splitlines()
    assert len(lines) == len(TABLE.flavors)
    assert "a10g-large: 12 vCPU, 46 GB, A10G 24 GB, $1.50/h" in lines
    assert "l4x4: 48 vCPU, 186 GB, 4x L4 96 GB, $3.80/h" in lines


def test_spaces() -> None:
    assert space_price("cpu-basic") == 0.0
    assert space_price("CPU-upgrade") == 0.03
    assert space_price("a10g-small") == 1.0
    assert space_price("h200") is None and space_price("h100") is None
    assert "cpu-basic" in SPACE_FLAVORS and "cpu-xl" not in SPACE_FLAVORS

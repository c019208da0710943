"""The machines that jobs and Spaces can run on, and what they cost."""

from __future__ import annotations

import asyncio
import difflib
import logging
import re
import time
import weakref
from collections.abc import Callable, Iterable, Mapping
from dataclasses import field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from agent.hub.account import HubAccount
from agent.hub.errors import HubError
from agent.light_dataclass import dataclass

if TYPE_CHECKING:
    from huggingface_hub import HfApi

logger = logging.getLogger(__name__)

FRESH_S = 6 * 3600.0
FAILURE_FRESH_S = 600.0
LIVE_WAIT_S = 3.0


@dataclass(frozen=True, slots=True)
class Flavor:
    """A machine. `vram_gb` is the memory of all its GPUs together; `usd_per_hour` None: nobody knows."""

    name: str
    pretty: str
    cpu: str
    ram: str
    accelerator: str
    vram_gb: float | None
    usd_per_hour: float | None
    is_gpu: bool

    @property
    def text(self) -> str:
        """`12 vCPU, 46 GB, A10G 24 GB, $1.50/h`."""
        accelerator = f"{self.accelerator} {self.vram_gb:g} GB" if self.vram_gb else self.accelerator
        price = "price unknown" if self.usd_per_hour is None else f"${self.usd_per_hour:.2f}/h"
        return ", ".join(part for part in (self.cpu, self.ram, accelerator, price) if part)


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All machines for jobs, by name; `source` tells whether the Hub said so just now or this program's table does."""

    flavors: Mapping[str, Flavor]
    source: Literal["live", "table"]

    def find(self, name: str) -> Flavor | None:
        """The machine of this name."""
        return self.flavors.get(name.strip().lower())

    def near(self, name: str) -> tuple[str, ...]:
        """At most four names that may have been meant, the likeliest first."""
        wanted = name.strip().lower()
        alike = difflib.get_close_matches(wanted, self.flavors, n=4, cutoff=0.5)
        begin = [each for each in self.flavors if wanted and each.startswith(wanted)]
        return tuple(dict.fromkeys([*begin, *alike]))[:4]

    def unknown(self, name: str) -> str:
        """What to say of a machine that is not there."""
        near = ", ".join(self.near(name)) or ", ".join(self.flavors)
        return f'There is no hardware called "{name}". Near it: {near}.'

    def menu(self) -> str:
        """One line for each machine."""
        return "\n".join(f"{flavor.name}: {flavor.text}" for flavor in self.flavors.values())


@dataclass(slots=True)
class _Kept:
    catalogue: Catalogue
    until: float


@dataclass(slots=True)
class _Cache:
    by_endpoint: dict[str, _Kept] = field(default_factory=dict)


_caches: weakref.WeakKeyDictionary[HubAccount, _Cache] = weakref.WeakKeyDictionary()


async def job_hardware(
    account: HubAccount, *, clock: Callable[[], float] = time.monotonic, wait_s: float = LIVE_WAIT_S
) -> Catalogue:
    """The machines for jobs: the Hub's own list, asked at most every six hours; the table where it does not answer.

    Never raises, and takes no longer than `wait_s`.
    """
    cache = _caches.setdefault(account, _Cache())
    kept = cache.by_endpoint.get(account.endpoint)
    if kept is not None and clock() < kept.until:
        return kept.catalogue
    catalogue, fresh_s = TABLE, FAILURE_FRESH_S
    try:
        async with asyncio.timeout(wait_s):
            catalogue, fresh_s = Catalogue(await account.call(_live, "reading the list of hardware"), "live"), FRESH_S
    except (HubError, TimeoutError) as error:
        logger.info("prices of hardware come from the table: %s", error or "no answer in time")
    cache.by_endpoint[account.endpoint] = _Kept(catalogue, clock() + fresh_s)
    return catalogue


# --- the Hub's list --------------------------------------------------------------------------------------------------

_UNITS_PER_HOUR = {"second": 3600.0, "minute": 60.0, "hour": 1.0}


def _live(api: HfApi) -> Mapping[str, Flavor]:
    """Facts: `GET /api/jobs/hardware` as huggingface_hub 1.33 reads it. Raises ValueError for an empty list."""
    flavors = [_from_hub(row) for row in api.list_jobs_hardware()]
    if not flavors:
        raise ValueError("the Hub's list of hardware is empty")
    return MappingProxyType({flavor.name: flavor for flavor in flavors})


def _from_hub(row: Any) -> Flavor:
    accelerator = row.accelerator
    count = int(_number(accelerator.quantity) or 1) if accelerator else 0
    return Flavor(
        name=row.name,
        pretty=row.pretty_name,
        cpu=row.cpu,
        ram=row.ram,
        accelerator="" if not accelerator else f"{count}x {accelerator.model}" if count > 1 else accelerator.model,
        vram_gb=_number(accelerator.vram) if accelerator else None,
        usd_per_hour=_usd_per_hour(row.unit_cost_usd, row.unit_label),
        is_gpu=bool(accelerator) and str(accelerator.type).lower() == "gpu",
    )


def _usd_per_hour(unit_cost_usd: Any, unit_label: Any) -> float | None:
    cost = _number(unit_cost_usd)
    units = _UNITS_PER_HOUR.get(str(unit_label).strip().lower().removesuffix("s"))
    # the Hub rounds what a minute costs to a millionth of a dollar
    return None if cost is None or units is None else round(cost * units, 3)


def _number(value: Any) -> float | None:
    match = re.search(r"\d+(?:\.\d+)?(?:e-?\d+)?", str(value))
    return float(match.group()) if match else None


# --- this program's table --------------------------------------------------------------------------------------------


def _cpu(name: str, cpus: int, ram_gb: int, usd_per_hour: float) -> Flavor:
    return Flavor(name, name, f"{cpus} vCPU", f"{ram_gb} GB", "", None, usd_per_hour, False)


def _gpu(name: str, cpus: int, ram_gb: int, model: str, count: int, vram_gb: float, usd_per_hour: float) -> Flavor:
    accelerator = model if count == 1 else f"{count}x {model}"
    return Flavor(name, name, f"{cpus} vCPU", f"{ram_gb} GB", accelerator, vram_gb, usd_per_hour, True)


def _family(name: str, ram_gb: int, model: str, vram_gb: float, usd_per_hour: float) -> Iterable[Flavor]:
    """One, two, four and eight GPUs of a kind, each with 23 vCPU."""
    for count in (1, 2, 4, 8):
        suffix = "" if count == 1 else f"x{count}"
        yield _gpu(
            name + suffix, 23 * count, ram_gb * count, model, count, vram_gb * count, round(usd_per_hour * count, 2)
        )


# Prices per hour from the Hub's documentation of 2026 (huggingface.co/pricing and docs/hub/jobs-pricing).
_ROWS: tuple[Flavor, ...] = (
    _cpu("cpu-basic", 2, 16, 0.01),
    _cpu("cpu-upgrade", 8, 32, 0.03),
    _cpu("cpu-xl", 16, 124, 1.00),
    _cpu("cpu-performance", 32, 256, 1.90),
    _gpu("t4-small", 4, 15, "T4", 1, 16, 0.40),
    _gpu("t4-medium", 8, 30, "T4", 1, 16, 0.60),
    _gpu("l4x1", 8, 30, "L4", 1, 24, 0.80),
    _gpu("l4x4", 48, 186, "L4", 4, 96, 3.80),
    _gpu("l40sx1", 8, 62, "L40S", 1, 48, 1.80),
    _gpu("l40sx4", 48, 382, "L40S", 4, 192, 8.30),
    _gpu("l40sx8", 192, 1534, "L40S", 8, 384, 23.50),
    _gpu("a10g-small", 4, 15, "A10G", 1, 24, 1.00),
    _gpu("a10g-large", 12, 46, "A10G", 1, 24, 1.50),
    _gpu("a10g-largex2", 24, 92, "A10G", 2, 48, 3.00),
    _gpu("a10g-largex4", 48, 184, "A10G", 4, 96, 5.00),
    _gpu("a100-large", 12, 142, "A100", 1, 80, 2.50),
    _gpu("a100x4", 48, 568, "A100", 4, 320, 10.00),
    _gpu("a100x8", 96, 1136, "A100", 8, 640, 20.00),
    *_family("h200", 256, "H200", 141, 5.00),
    *_family("rtx-pro-6000", 256, "RTX PRO 6000", 96, 2.75),
)

TABLE = Catalogue(MappingProxyType({flavor.name: flavor for flavor in _ROWS}), "table")

_SPACE_FREE = ("cpu-basic",)
_NOT_FOR_SPACES = ("cpu-xl", "cpu-performance", "h200", "h200x2", "h200x4", "h200x8")

SPACE_FLAVORS: tuple[str, ...] = tuple(flavor.name for flavor in _ROWS if flavor.name not in _NOT_FOR_SPACES)
"""What a Space can run on (`SpaceHardware` of huggingface_hub 2.4, without what is for Gradio only)."""


def space_price(flavor: str) -> float | None:
    """US dollars per hour for a Space on `flavor`, which are those of jobs but for the free one; None if it is unknown.

    The Hub has no list of these to ask for.
    """
    name = flavor.strip().lower()
    if name in _SPACE_FREE:
        return 0.0
    return TABLE.flavors[name].usd_per_hour if name in SPACE_FLAVORS else None

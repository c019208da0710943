"""The hardware that the fake Hub rents out, and what it costs."""

from __future__ import annotations

from typing import Any

Row = dict[str, Any]


def hardware(name: str, cpu: str, ram: str, usd_per_hour: float, gpu: tuple[str, int, int] | None = None) -> Row:
    """A row of the list of hardware. `gpu` is model, count and GB of memory in all; the Hub's prices are per minute."""
    accelerator = gpu and {
        "type": "gpu",
        "model": gpu[0],
        "quantity": str(gpu[1]),
        "vram": f"{gpu[2]} GB",
        "manufacturer": "Nvidia",
    }
    return {
        "name": name,
        "prettyName": f"Nvidia {gpu[0]} - {name}" if gpu else name.replace("-", " ").title().replace("Cpu", "CPU"),
        "cpu": f"{cpu} vCPU",
        "ram": f"{ram} GB",
        "ephemeralStorage": "100 GB" if gpu else "20 GB",
        "accelerator": accelerator,
        "unitCostMicroUSD": round(usd_per_hour / 60 * 1_000_000),
        "unitCostUSD": round(usd_per_hour / 60, 6),
        "unitLabel": "minute",
    }


_FLAVORS = """
cpu-basic 2 16 0.01
cpu-upgrade 8 32 0.03
cpu-xl 16 124 1.00
cpu-performance 32 256 1.90
t4-small 4 15 0.40 T4 1 16
t4-medium 8 30 0.60 T4 1 16
l4x1 8 30 0.80 L4 1 24
l4x4 48 186 3.80 L4 4 96
l40sx1 8 62 1.80 L40S 1 48
l40sx4 48 382 8.30 L40S 4 192
l40sx8 192 1534 23.50 L40S 8 384
a10g-small 4 15 1.00 A10G 1 24
a10g-large 12 46 1.50 A10G 1 24
a10g-largex2 24 92 3.00 A10G 2 48
a10g-largex4 48 184 5.00 A10G 4 96
a100-large 12 142 2.50 A100 1 80
a100x4 48 568 10.00 A100 4 320
a100x8 96 1136 20.00 A100 8 640
h200 23 256 5.00 H200 1 141
h200x2 46 512 10.00 H200 2 282
h200x4 92 1024 20.00 H200 4 564
h200x8 184 2048 40.00 H200 8 1128
rtx-pro-6000 23 256 2.75 RTX-PRO-6000 1 96
rtx-pro-6000x2 46 512 5.50 RTX-PRO-6000 2 192
rtx-pro-6000x4 92 1024 11.00 RTX-PRO-6000 4 384
rtx-pro-6000x8 184 2048 22.00 RTX-PRO-6000 8 768
"""
"""Name, vCPU, GB of memory, US dollars per hour; model, count and GB of memory of the GPUs (prices of 2026)."""


def _flavor(row: str) -> Row:
    name, cpu, ram, usd, *gpu = row.split()
    return hardware(name, cpu, ram, float(usd), (gpu[0], int(gpu[1]), int(gpu[2])) if gpu else None)


HARDWARE = [_flavor(row) for row in _FLAVORS.strip().splitlines()]

"""What accelerators a machine has, told from its name.

By rule, not by list: Hugging Face adds machines faster than a list here would be mended. Names as of `GET
/api/jobs/hardware` and of Spaces (agent/hub/hardware.py), of Inference Endpoints (`nvidia-a10g`), of TPUs (`v5e-2x4`).
"""

from __future__ import annotations

import math
import re
from typing import NamedTuple


class Machine(NamedTuple):
    """`family` in lower case: `cpu` for none, None where the name does not tell. `chips`: how many accelerators."""

    family: str | None
    chips: int


_MAKER = re.compile(r"^(?:(?:nvidia|amd|intel|aws|google|zero)-)+")
_COUNT_BEFORE = re.compile(r"^(\d{1,3})x-?(?=[a-z])")
_SIZE = r"(?:nano|micro|tiny|small|medium|x*large|xl|base|basic|upgrade|performance)"
_SHAPE = re.compile(rf"^(?P<name>.+?)(?:-{_SIZE})?(?:-?x(?P<count>\d{{1,3}}))?$")
_TPU = re.compile(r"^(?:tpu-?)?v\d{1,2}(?:e|p|litepod)?(?:-(?P<shape>\d{1,4}(?:x\d{1,4}){0,2}))?$|^tpu$")
_FAMILY = re.compile(
    r"mi\d{3}[ax]?"  # AMD's Instinct: the x is part of the name
    r"|(?:gtx|rtx|quadro)(?:-?[a-z]{1,8}|-?\d{1,5}[a-z]{0,3}){0,4}"
    r"|[a-z]{1,5}\d{1,4}[a-wyz]{0,2}"  # t4, l40s, a10g, h200, gb200, inf2, trn1
)
_NO_ACCELERATOR = re.compile(r"^(?:cpu|intel-spr|amd-epyc)\b")


def machine(flavor: str) -> Machine:
    """The accelerators of the machine called `flavor`."""
    name = flavor.strip().lower()[:80]
    if _NO_ACCELERATOR.match(name):
        return Machine("cpu", 0)
    name = _MAKER.sub("", name)
    if tpu := _TPU.match(name):
        return Machine("tpu", math.prod(map(int, (tpu["shape"] or "1").split("x"))))
    before = _COUNT_BEFORE.match(name)
    shape = _SHAPE.match(name[before.end() :] if before else name)
    if shape is None or not _FAMILY.fullmatch(shape["name"]):
        return Machine(None, 1)
    return Machine(shape["name"], int(shape["count"] or (before[1] if before else 1)))

"""The energy that this machine's processors say they have used (Linux, powercap)."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

__all__ = ["POWERCAP", "Used", "packages", "used_by"]

POWERCAP = Path("/sys/class/powercap")


class Used(NamedTuple):
    """What was done, and the joules that all packages used meanwhile, whoever used them."""

    done: int
    joules: float


def packages(folder: Path = POWERCAP) -> list[Path]:
    """Return the meters of processor packages that can be read here."""
    # intel-rapl:0:1 is a part of package 0.
    return [
        meter
        for meter in sorted(folder.glob("intel-rapl:*"))
        if meter.name.count(":") == 1 and _read(meter, "energy_uj") is not None
    ]


def used_by(work: Callable[[], int], meters: list[Path]) -> Used:
    """Return what some work used: ``work`` says how much it has done.

    A meter goes round at its ``max_energy_range_uj``; work that takes minutes sees that once.
    """
    before = [_read(meter, "energy_uj") for meter in meters]
    done = work()
    microjoules = 0
    for meter, first in zip(meters, before, strict=True):
        last, most = _read(meter, "energy_uj"), _read(meter, "max_energy_range_uj")
        if first is None or last is None:
            continue
        microjoules += last - first if last >= first else last - first + (most or 0)
    return Used(done, microjoules / 1e6)


def _read(meter: Path, name: str) -> int | None:
    try:
        return int((meter / name).read_text())
    except (OSError, ValueError):
        return None

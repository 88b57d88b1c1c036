"""Crosspoints of several devices: a weight is a sum of what they hold, ``w = sum_k gamma_k w_k``.

Names, defaults and equations are those of aihwkit 1.2.0 (docs/cells.md). Standard library only.
"""

from dataclasses import dataclass
from typing import ClassVar

from ohmgrid.devices.base import Device, StepDevice
from ohmgrid.doors.checks import (
    ConfigError,
    check_choice,
    check_float,
    check_int,
    make_plain,
    shown,
)

__all__ = ["MOST_DEVICES", "POLICIES", "ReferenceUnitCell", "VectorUnitCell"]

MOST_DEVICES = 8
"""Most devices of a cell: each has a tile number of its own."""
POLICIES = ("all", "single-fixed", "single-sequential", "single-random")
"""Which devices an update pulses."""


@dataclass(frozen=True)
class VectorUnitCell(Device):
    """A cell of up to 8 devices, of which an update pulses all or one."""

    unit_cell_devices: tuple[StepDevice, ...]
    """The devices of a cell, 2 to `MOST_DEVICES`."""
    update_policy: str = "all"
    """``all``; ``single-fixed``: always `first_update_idx`; ``single-sequential``: one after the
    other, the first update that behind it; ``single-random``: drawn for each update."""
    first_update_idx: int = 0
    """Place of a device, from 0."""
    gamma_vec: tuple[float, ...] = ()
    """What the weight of each device counts for; empty: 1/n for n devices."""

    kind: ClassVar[str] = "VectorUnitCell"
    most: ClassVar[int] = MOST_DEVICES
    """Most devices of a cell of this kind."""
    policies: ClassVar[tuple[str, ...]] = POLICIES
    """Its update policies."""

    def __post_init__(self) -> None:
        make_plain(self)
        own = self.unit_cell_devices
        if not isinstance(own, tuple) or not 2 <= len(own) <= self.most:
            count = "2" if self.most == 2 else f"2..{self.most}"
            raise ConfigError(
                "unit_cell_devices", f"expected {count} step devices, got {shown(own)}"
            )
        for place, device in enumerate(own):
            if not isinstance(device, StepDevice):
                raise ConfigError(
                    f"unit_cell_devices[{place}]", f"expected a step device, got {shown(device)}"
                )
        check_choice("update_policy", self.update_policy, self.policies)
        check_int("first_update_idx", self.first_update_idx, 0, len(own) - 1)
        if not isinstance(self.gamma_vec, tuple) or len(self.gamma_vec) not in (0, len(own)):
            raise ConfigError(
                "gamma_vec",
                f"expected a number for each of {len(own)} devices, or none, "
                f"got {shown(self.gamma_vec)}",
            )
        for place, value in enumerate(self.gamma_vec):
            check_float(f"gamma_vec[{place}]", value, -8.0, 8.0)
        # Weights that are set go to the devices that updates reach.
        if abs(self.gain) < 1 / 256:
            raise ConfigError(
                "gamma_vec",
                f"expected a sum of 1/256 at least of the devices that are updated, "
                f"got {self.gain:g}",
            )

    @property
    def unit(self) -> StepDevice:
        return self.unit_cell_devices[0]

    @property
    def arrays(self) -> int:
        return len(self.unit_cell_devices)

    @property
    def gammas(self) -> tuple[float, ...]:
        """What each device counts for."""
        own = self.unit_cell_devices
        return tuple(map(float, self.gamma_vec)) or (1 / len(own),) * len(own)

    @property
    def updated(self) -> tuple[int, ...]:
        """Places of the devices that updates reach, one time or another."""
        if self.update_policy == "single-fixed":
            return (self.first_update_idx,)
        return tuple(range(len(self.unit_cell_devices)))

    @property
    def gain(self) -> float:
        """Weight of a cell whose updated devices all hold 1, the others 0."""
        return sum(self.gammas[place] for place in self.updated)

    @property
    def granularity(self) -> float:
        """Weight granularity, by which pulse trains are scaled: the mean of the devices'."""
        own = self.unit_cell_devices
        return sum(device.granularity for device in own) / len(own)

    @property
    def bounds(self) -> tuple[float, float]:
        ends = [
            sorted((gamma * device.w_min, gamma * device.w_max))
            for gamma, device in zip(self.gammas, self.unit_cell_devices, strict=True)
        ]
        return sum(low for low, _ in ends), sum(high for _, high in ends)


@dataclass(frozen=True)
class ReferenceUnitCell(VectorUnitCell):
    """A device less a reference of its own, which no update pulses: ``w = w_0 - w_1``."""

    update_policy: str = "single-fixed"
    gamma_vec: tuple[float, ...] = (1.0, -1.0)

    kind: ClassVar[str] = "ReferenceUnitCell"
    most: ClassVar[int] = 2
    policies: ClassVar[tuple[str, ...]] = ("single-fixed",)

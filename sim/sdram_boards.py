"""Gateware that keeps examples in an SDRAM, with the simulated chip on its pins."""

from collections.abc import Sequence
from typing import Any

from amaranth.hdl import Module, ResetInserter
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from ohmgrid.config import Config
from ohmgrid.doors.checks import ConfigError
from ohmgrid.hdl.base.sdram import Sdram
from ohmgrid.hdl.core.example_store import ExampleStore
from ohmgrid.hdl.link.linked_core import LinkedCore
from ohmgrid.registers.sdram import ULX3S_SDRAM, WORD_BITS
from ohmgrid.sim.sdram import MOST_WORDS, SimulatedSdram

__all__ = ["SIMULATED_HZ", "SdramBoard", "SdramStore"]

SIMULATED_HZ = 80_000_000
"""Clock that a simulated board's SDRAM is run at: it has none of its own, but a chip's times do."""
WORD_BYTES = WORD_BITS // 8


def _others(component: wiring.Component) -> dict:
    """Return the members of a component but its way to an SDRAM."""
    return {name: kind for name, kind in component.signature.members.items() if name != "sdram"}


def _lead(m: Module, outside: wiring.Component, inside: wiring.Component) -> None:
    """Lead all these members of a component outwards."""
    for name, member in _others(inside).items():
        outer, inner = getattr(outside, name), getattr(inside, name)
        if not member.is_port:
            wiring.connect(m, wiring.flipped(outer), inner)
        elif member.flow == In:
            m.d.comb += inner.eq(outer)
        else:
            m.d.comb += outer.eq(inner)


class SdramStore(wiring.Component):
    """An `ExampleStore` with its SDRAM: the same members, and `restart`, its reset alone.

    Parameters
    ----------
    size : int
        Bytes.
    """

    def __init__(self, size: int):
        self._store: Any = ExampleStore(size, sdram=True)
        self._sdram: Any = Sdram(ULX3S_SDRAM, SIMULATED_HZ)
        self._size = size
        super().__init__({**_others(self._store), "restart": In(1)})

    def elaborate(self, platform):
        m = Module()
        ports: Any = self
        m.submodules.store = ResetInserter(ports.restart)(self._store)
        m.submodules.sdram = sdram = self._sdram
        m.submodules.chip = chip = SimulatedSdram(
            ULX3S_SDRAM, SIMULATED_HZ, self._size // WORD_BYTES
        )
        _lead(m, self, self._store)
        wiring.connect(m, self._store.sdram, sdram.user)
        wiring.connect(m, sdram.pins, chip.pins)
        return m


class SdramBoard(wiring.Component):
    """A `LinkedCore` with its SDRAM: the members of one without.

    Parameters
    ----------
    config : Config
    identity : sequence of int

    Raises
    ------
    ConfigError
        If the store is larger than a simulator can hold.
    """

    def __init__(self, config: Config, identity: Sequence[int]):
        words = config.build.store // WORD_BYTES
        if words > MOST_WORDS:
            raise ConfigError(
                "build.store",
                f"expected at most {MOST_WORDS * WORD_BYTES} bytes of a simulated SDRAM, "
                f"got {config.build.store}",
            )
        self._core: Any = LinkedCore(config, identity, SIMULATED_HZ)
        self._chip = SimulatedSdram(ULX3S_SDRAM, SIMULATED_HZ, words)
        super().__init__(_others(self._core))

    def elaborate(self, platform):
        m = Module()
        m.submodules.core, m.submodules.chip = core, chip = self._core, self._chip
        _lead(m, self, core)
        wiring.connect(m, core.sdram, chip.pins)
        return m

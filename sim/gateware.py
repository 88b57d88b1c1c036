"""A core that is simulated: its library, its instance, and the way to it."""

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import cast

import numpy as np

from ohmgrid.config import BuildConfig, Config, FormatConfig
from ohmgrid.gateware.held import Gateware
from ohmgrid.hdl.core.core import Core as CoreGateware
from ohmgrid.host.driver import Examples, Item, command_words
from ohmgrid.host.protocol import OUT_BITS
from ohmgrid.sim.cxxrtl.library import Instance, Library, build

__all__ = ["SimulatedGateware", "Simulation", "build_core", "gateware_formats"]

TIMEOUT = 50_000_000
"""Cycles after which a command that has not answered is taken for dead."""


@lru_cache(maxsize=16)
def _library(formats: FormatConfig, parts: BuildConfig) -> Library:
    config = Config(formats=formats, build=parts)
    return build(lambda: CoreGateware(config), "core", identity=f"Core {formats} {parts}")


def build_core(config: Config) -> Library:
    """Compile the gateware of a build and its formats (or take it from the cache).

    Within a process it is elaborated once, however many nets run on it.
    """
    return _library(gateware_formats(config.formats), config.build)


def gateware_formats(formats: FormatConfig) -> FormatConfig:
    """Return formats as gateware is built for them.

    Fraction bits are loaded at run time: they make no other gateware.
    """
    narrow = formats.edge_bits - 1
    return replace(formats, x_frac=narrow, d_frac=narrow)


class Simulation:
    """A way to a core that is simulated (`ohmgrid.host.driver.Transport`).

    Parameters
    ----------
    instance : Instance
    """

    def __init__(self, instance: Instance) -> None:
        self.instance = instance

    def transact(
        self, items: Sequence[Item], results: int, answers: int
    ) -> tuple[np.ndarray, np.ndarray, int]:
        """Give commands and words to their streams, each at its own pace; see `Transport`."""
        commands = [item for item in items if isinstance(item, int)]
        words = [
            item.words() if isinstance(item, Examples) else item
            for item in items
            if not isinstance(item, int)
        ]
        came, cycles = self.instance.transact(
            {
                "cmd": command_words(commands),
                "i": np.concatenate(words) if words else np.zeros(0, np.int64),
            },
            {"o": results, "r": answers},
            max_cycles=TIMEOUT,
        )
        spare = 64 - OUT_BITS
        return (came["o"].view(np.int64) << spare) >> spare, came["r"], cycles


class SimulatedGateware(Gateware):
    """A simulated core, and where the arrays of a net lie in it."""

    def __init__(self, config: Config, shapes: Sequence[tuple[int, int]]) -> None:
        super().__init__(config, shapes, lambda: Simulation(build_core(config).instance()))

    @property
    def instance(self) -> Instance:
        """What is simulated."""
        return cast(Simulation, self.driver.way).instance

    def reset(self, cycles: int = 1) -> None:
        """Reset the gateware, whatever it does: then a state is to be loaded, as after an error.

        Memories keep what they held. With no cycles nothing is reset, and all is loaded anew.
        """
        self.instance.reset(cycles)
        self.was_reset()

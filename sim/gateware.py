"""One simulated core: its library, its instance, and what all arrays of a net share there."""

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np

from ohmgrid.config import BuildConfig, Config, FormatConfig
from ohmgrid.hdl.core.core import Core as CoreGateware
from ohmgrid.host.driver import CoreDriver
from ohmgrid.host.protocol import SILENT
from ohmgrid.host.registers import core_values, countdowns
from ohmgrid.registers.layout import place_arrays
from ohmgrid.sim.cxxrtl.library import Library, build
from ohmgrid.tile import TileBase

__all__ = ["Gateware", "build_core"]


@lru_cache(maxsize=16)
def _library(formats: FormatConfig, parts: BuildConfig) -> Library:
    config = Config(formats=formats, build=parts)
    return build(lambda: CoreGateware(config), "core", identity=f"Core {formats} {parts}")


def build_core(config: Config) -> Library:
    """Compile the gateware of a build and its formats (or take it from the cache).

    Within a process it is elaborated once, however many nets run on it.
    """
    # Fraction bits are loaded at run time: they make no other gateware.
    narrow = config.formats.edge_bits - 1
    formats = replace(config.formats, x_frac=narrow, d_frac=narrow)
    return _library(formats, config.build)


class Gateware:
    """One simulated core, and where the arrays of a net lie in it.

    After an error of the gateware (`RuntimeError`, `TimeoutError`, `AssertFailed`) it is not known
    what it holds: it then refuses all calls until it is started anew.

    Parameters
    ----------
    config : Config
    shapes : sequence of (rows, cols)

    Raises
    ------
    ConfigError
        If the arrays do not fit ``config.build``, or are more than the array table has entries.

    Attributes
    ----------
    places : list of Place
    driver : CoreDriver
        Sends the commands.
    starts : int
        How often it was started: what a start before the last has loaded is gone.
    """

    def __init__(self, config: Config, shapes: Sequence[tuple[int, int]]) -> None:
        self.config = config
        self.places = place_arrays(shapes, config.device.devices, config.build, config.layout)
        self.values = core_values(config)
        self.starts = 0
        self.lost = ""
        """The error after which it is not known what the gateware holds."""
        self._stays = False

    def start(self, tile: TileBase) -> None:
        """Take a new instance, and load what all arrays share: registers, and a tile's device.

        After a `reset` it is the same one.
        """
        if not self._stays:
            self.driver = CoreDriver(build_core(self.config).instance())
        driver, self._stays = self.driver, False
        self.starts += 1
        self.lost = ""
        aging = tile.aging if countdowns(self.values, 0) else None
        device = driver.device(tile.device, self.config.formats.weight_bits, aging)
        self.send([*driver.registers(self.values), *device])

    def reset(self, cycles: int = 1) -> None:
        """Reset the gateware, whatever it does: then a state is to be loaded, as after an error.

        Memories keep what they held. With no cycles nothing is reset, and all is loaded anew.
        """
        self.driver.link.reset(cycles)
        self.lost, self._stays = "a reset", True

    def send(
        self, commands: list[int], words=(), results: int = 0, more: int = 0
    ) -> tuple[np.ndarray, list]:
        """Send checked commands and words; remember an error that comes in between."""
        if self.lost:
            raise RuntimeError(f"tile: expected a state to be loaded after the error: {self.lost}")
        try:
            return self.driver.run(commands, words, results, more)
        except BaseException as error:
            self.lost = f"{type(error).__name__}: {error}"
            raise

    def ask(self, commands: list[int], words: list[int], results: int) -> np.ndarray:
        """Send commands and words; return results, and leave the answers for later."""
        answers = sum((c & 255) not in SILENT for c in commands)
        return self.send(commands, words, results, -answers)[0]

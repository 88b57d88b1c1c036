"""One core of gateware, and what all arrays of a net share there."""

from collections.abc import Callable, Sequence

import numpy as np

from ohmgrid.config import Config
from ohmgrid.doors.checks import ConfigError
from ohmgrid.host.driver import CoreDriver, Item, Transport, awaited
from ohmgrid.host.registers import core_values, countdowns
from ohmgrid.registers.layout import place_arrays
from ohmgrid.tile import TileBase

__all__ = ["Gateware"]


class Gateware:
    """One core of gateware, and where the arrays of a net lie in it.

    After an error of the gateware (`RuntimeError`, `TimeoutError`, `AssertFailed`) it is not known
    what it holds: it then refuses all calls until it is started anew.

    Parameters
    ----------
    config : Config
    shapes : sequence of (rows, cols)
    connect : callable
        Returns a way to a core in its power-up state, or after a reset.

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

    def __init__(
        self,
        config: Config,
        shapes: Sequence[tuple[int, int]],
        connect: Callable[[], Transport],
    ) -> None:
        if config.device.arrays > 1:
            raise ConfigError(
                "engine",
                f"expected model or compiled for a device of class {config.device.kind}: "
                "transfers between arrays are not in the gateware yet",
            )
        self.config, self._connect = config, connect
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
            self.driver = CoreDriver(self._connect())
        driver, self._stays = self.driver, False
        self.starts += 1
        self.lost = ""
        aging = tile.aging if countdowns(self.values, 0) else None
        device = driver.device(tile.device, self.config.formats.weight_bits, aging)
        self.send([*driver.registers(self.values), *device])

    def was_reset(self) -> None:
        """Take note of a reset: then a state is to be loaded, as after an error."""
        self.lost, self._stays = "a reset", True

    def send(
        self, items: Sequence[Item], results: int = 0, more: int = 0
    ) -> tuple[np.ndarray, list]:
        """Send checked commands and words; remember an error that comes in between."""
        if self.lost:
            raise RuntimeError(f"tile: expected a state to be loaded after the error: {self.lost}")
        try:
            return self.driver.run(items, results, more)
        except BaseException as error:
            self.lost = f"{type(error).__name__}: {error}"
            raise

    def ask(self, items: Sequence[Item], results: int) -> np.ndarray:
        """Send commands and words; return results, and leave the answers for later."""
        return self.send(items, results, -awaited(items))[0]

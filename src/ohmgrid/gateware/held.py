"""One core of gateware, and what all arrays of a net share there."""

from collections.abc import Callable, Sequence

import numpy as np

from ohmgrid.config import Config
from ohmgrid.devices.mixed_precision import MixedPrecision
from ohmgrid.devices.transfer import Transfer
from ohmgrid.doors.checks import ConfigError
from ohmgrid.host.driver import CoreDriver, Item, Transport, awaited
from ohmgrid.host.registers import core_values, countdowns
from ohmgrid.registers.device import device_registers
from ohmgrid.registers.layout import check_words, place_arrays, words_of
from ohmgrid.registers.mixed import array_config
from ohmgrid.registers.time import aging_registers
from ohmgrid.registers.transfer import fast_config, slow_config

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
        If the arrays do not fit ``config.build``, or are more than the array table has entries; if
        the build, or all gateware, lacks what a weight of this device needs.

    Attributes
    ----------
    places : list of Place
    kinds : list of Config
        Of each kind of its arrays: one, or the slow ones and the fast ones of transfers.
    values : list of dict
        Values of the registers of each kind.
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
        device, build = config.device, config.build
        self.config, self._connect = config, connect
        self.kinds = [config]
        if isinstance(device, Transfer):
            self.kinds = [slow_config(config), fast_config(config)]
        elif isinstance(device, MixedPrecision):
            self.kinds = [array_config(config)]
        elif device.arrays > 1 and not device.significance:
            raise ConfigError(
                "engine",
                f"expected model or compiled for a device of class {device.kind}: its cells are "
                "not in the gateware yet",
            )
        words = words_of(device)
        check_words(device.kind, build, words)
        self.places = place_arrays(shapes, words, build, config.layout)
        self.values = [core_values(kind) for kind in self.kinds]
        self.starts = 0
        self.lost = ""
        """The error after which it is not known what the gateware holds."""
        self._stays = False
        self.activations: dict[int, np.ndarray | None] = {}
        """By array: activations that the core holds for it, as far as is known."""

    def hold(self, array: int, x: np.ndarray | None) -> None:
        """Take note of activations that went to an array's lines: others of these lines lose
        theirs."""
        line = self.places[array].input_line
        for other, place in enumerate(self.places):
            if place.input_line == line:
                self.activations[other] = x if other == array else None

    def start(self) -> None:
        """Take a new instance, and load what arrays share: registers and devices of each kind.

        After a `reset` it is the same one.
        """
        if not self._stays:
            self.driver = CoreDriver(self._connect())
        driver, self._stays = self.driver, False
        self.starts += 1
        self.lost = ""
        commands, formats = [], self.config.formats
        for kind, (config, values) in enumerate(zip(self.kinds, self.values, strict=True)):
            unit = config.device.unit
            device = device_registers(unit, formats.weight_bits, formats.curve_segments)
            aging = aging_registers(unit, device.lsb, formats.weight_bits, config.batch)
            commands += driver.registers(values, kind)
            commands += driver.device(
                device, formats.weight_bits, aging if countdowns(values, 0) else None, kind
            )
        self.send(commands)

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

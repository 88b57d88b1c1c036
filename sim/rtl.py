"""The `rtl` engine: the gateware itself, compiled to a shared library and driven by its streams."""

from dataclasses import asdict, replace
from functools import lru_cache

import numpy as np

from ohmgrid.config import BuildConfig, Config, FormatConfig
from ohmgrid.doors.checks import ConfigError
from ohmgrid.hdl.core.tile import Tile
from ohmgrid.host.driver import TileDriver
from ohmgrid.host.protocol import Op, command
from ohmgrid.host.registers import countdowns, tile_values
from ohmgrid.model.array.sweep import memory_order
from ohmgrid.model.base.noise import op_key, seed_key
from ohmgrid.model.core.core import Core
from ohmgrid.model.core.operations import update_trains
from ohmgrid.model.device.population import populate
from ohmgrid.net import Net
from ohmgrid.registers.edge import PulseRegisters
from ohmgrid.registers.map import STEPS
from ohmgrid.registers.noise import Verb
from ohmgrid.sim.cxxrtl.library import Library, build
from ohmgrid.tile import TileBase, TileState, make_tiles

__all__ = ["RtlCore", "RtlTile", "build_tile"]


@lru_cache(maxsize=16)
def _library(formats: FormatConfig, parts: BuildConfig) -> Library:
    config = Config(formats=formats, build=parts)
    return build(lambda: Tile(config), "tile", identity=f"Tile {formats} {parts}")


def build_tile(config: Config) -> Library:
    """Compile the gateware of a build and its formats (or take it from the cache).

    Within a process it is elaborated once, however many tiles a network has.
    """
    # Fraction bits are loaded at run time: they make no other gateware.
    narrow = config.formats.edge_bits - 1
    formats = replace(config.formats, x_frac=narrow, d_frac=narrow)
    return _library(formats, config.build)


class RtlTile(TileBase):
    """One tile simulated from its gateware; the interface and the bits are those of the model.

    References and the weights of stuck devices are drawn here and written once. After an error of
    the gateware (`RuntimeError`, `TimeoutError`, `AssertFailed`) it is not known what it holds: the
    tile then refuses all calls but `load`, which starts the gateware anew.

    Raises
    ------
    ConfigError
        If the shape exceeds ``config.build``, or the device needs what the build lacks.

    Attributes
    ----------
    cycles : int
        Clock cycles of the last operation, its vectors and commands included.
    driver : TileDriver
        Sends the commands.
    """

    def __init__(self, config: Config, rows: int, cols: int, number: int = 0) -> None:
        super().__init__(config, rows, cols, number)
        build = config.build
        device_rows, _ = self.device_shape
        if device_rows > build.max_rows or cols > build.max_cols:
            raise ConfigError(
                "shape",
                f"expected at most {build.max_rows} x {build.max_cols} (build.max_rows, "
                f"build.max_cols), got {device_rows} x {cols}"
                + (" (two rows for each pair of devices)" if config.device.paired else ""),
            )
        key = op_key(seed_key(config.seed), Verb.STATIC, number, 0)
        self._population = populate(
            key, *self.device_shape, self.device, config.formats.weight_bits
        )
        self._row, self._col = memory_order(device_rows, cols, build.lanes)
        self._values = tile_values(config, rows, cols, number)
        self._start()
        self.load(TileState(np.zeros(self.device_shape, np.int32), (0, 0, 0)))

    def _start(self) -> None:
        """Take a new instance of the gateware and load all that a state does not hold."""
        self.driver = TileDriver(build_tile(self.config).instance())
        self._lost = ""
        """The error after which it is not known what the gateware holds."""
        self._rate: PulseRegisters | None = None
        """Registers of the learning rate that the tile holds, as far as is known; likewise `_x`."""
        self._x: np.ndarray | None = None
        setup = self.driver.registers(self._values)
        aging = self.aging if countdowns(self._values, 0) else None
        setup += self.driver.device(self.device, self.config.formats.weight_bits, aging)
        self._send([*setup, command(Op.SETUP)])
        if self.config.build.references:
            self._write(Op.WRITE_REFERENCES, self._population.static.reference)

    def _load_x(self, values: np.ndarray) -> tuple[list[int], list[int]]:
        """Return command and words that bring activations to the tile, none if they are there."""
        if self._x is not None and np.array_equal(values, self._x):
            return [], []
        return [command(Op.LOAD_X)], values.tolist()

    def _send(self, commands: list[int], words=(), results: int = 0) -> tuple[np.ndarray, list]:
        """Send checked commands and words; remember an error that comes in between."""
        if self._lost:
            raise RuntimeError(f"tile: expected a state to be loaded after the error: {self._lost}")
        try:
            sent = self.driver.run(commands, words, results)
        except BaseException as error:
            self._lost = f"{type(error).__name__}: {error}"
            raise
        self.cycles = self.driver.cycles
        return sent

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return ``W x`` (int64, shape (rows,))."""
        x = self._edge("x", x, self.cols)
        commands, words = self._load_x(x)
        y, answers = self._send([*commands, command(Op.FORWARD)], words, self.rows)
        self._x = x
        self._steps[0] += 1
        self.passes, self.saturated = answers[-1].passes, answers[-1].saturated
        return y

    def backward(self, d: np.ndarray) -> np.ndarray:
        """Return ``W^T d`` (int64, shape (cols,))."""
        words = self._edge("d", d, self.rows).tolist()
        z, answers = self._send([command(Op.LOAD_D), command(Op.BACKWARD)], words, self.cols)
        self._steps[1] += 1
        self.saturated = answers[-1].saturated
        return z

    def update(self, x: np.ndarray, d: np.ndarray, lr: float) -> None:
        """Apply ``W -= lr d x^T`` by coincident pulses."""
        self._pulse(Op.UPDATE, x, d, lr)

    def backward_update(self, x: np.ndarray, d: np.ndarray, lr: float) -> np.ndarray:
        """Return `backward` of the old weights, then `update`, in one sweep."""
        z = self._pulse(Op.BACKWARD_UPDATE, x, d, lr)
        self._steps[1] += 1
        return z

    def _pulse(self, op: Op, x: np.ndarray, d: np.ndarray, lr: float) -> np.ndarray:
        x, d, registers = self._update_arguments(x, d, lr)
        rate = [] if registers == self._rate else self.driver.registers(asdict(registers))
        commands, words = self._load_x(x)
        key = op_key(seed_key(self.config.seed), Verb.UPDATE, self.number, self._steps[2])
        z, answers = self._send(
            [*rate, *commands, command(Op.LOAD_D), command(op)],
            words + d.tolist(),
            self.cols if op == Op.BACKWARD_UPDATE else 0,
        )
        self._x, self._rate = x, registers
        self._steps[2] += 1
        # The gateware does not count: the model's function does, of the same vectors.
        self.pulses = update_trains(x, d, self.config, registers, key).counts
        if countdowns(self._values, self._steps[2] - 1).get("refresh_left") == 1:
            # A refresh writes vectors of its own to the tile's edge.
            self._x = None
        if op == Op.BACKWARD_UPDATE:
            self.saturated = answers[-1].saturated
        return z

    def state(self) -> TileState:
        """Return a copy of the state."""
        first, second, third = self._steps
        return TileState(self._read(), (first, second, third))

    def load(self, state: TileState) -> None:
        """Take over a state; raise `ValueError` where it does not fit this tile."""
        weights, steps = self._state(state)
        if self._lost:
            self._start()
        values = dict(zip(STEPS, steps, strict=True)) | countdowns(self._values, steps[2])
        self._send(self.driver.registers(values))
        self._write(Op.WRITE_CELLS, self._population.hold_stuck(weights))
        self._steps = steps

    def _read(self) -> np.ndarray:
        """Return all conductances (int32, shape `device_shape`)."""
        words, _ = self._send([command(Op.READ_CELLS)], (), self._row.size)
        weights = np.zeros(self.device_shape, np.int32)
        weights[self._row, self._col] = words
        return weights

    def _write(self, op: Op, cells: np.ndarray) -> None:
        """Send one word for each device, shape `device_shape`."""
        self._send([command(op)], cells[self._row, self._col])


class RtlCore(Core):
    """A net on simulated tiles, driven by the golden layer arithmetic."""

    def __init__(self, config: Config, net: Net, threads: int = 1) -> None:
        super().__init__(config, net, threads, make_tiles(RtlTile, config, net.shapes))

"""The `rtl` engine: the gateware itself, compiled to a shared library and driven by its streams."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import lru_cache

import numpy as np

from ohmgrid.config import BuildConfig, Config, FormatConfig
from ohmgrid.doors.checks import ConfigError
from ohmgrid.hdl.core.tile import Tile
from ohmgrid.hdl.device.aging import pack_aging_registers, pack_aging_tables
from ohmgrid.hdl.device.ports import pack_registers, pack_tables
from ohmgrid.hdl.periphery.outputs import OUT_BITS
from ohmgrid.model.array.sweep import memory_order
from ohmgrid.model.base.noise import op_key, seed_key
from ohmgrid.model.core.operations import update_trains
from ohmgrid.model.core.refresh import refresh_registers
from ohmgrid.model.device.population import populate
from ohmgrid.registers.device import DeviceRegisters, device_registers
from ohmgrid.registers.edge import PulseRegisters, converter_registers
from ohmgrid.registers.noise import Verb
from ohmgrid.registers.protocol import TILE_REGISTERS, Answer, Error, Op, command, table_command
from ohmgrid.registers.readout import read_registers
from ohmgrid.registers.time import AgingRegisters, aging_registers
from ohmgrid.sim.cxxrtl.library import Library, build
from ohmgrid.tile import TileBase, TileState

__all__ = ["RtlTile", "TileDriver", "build_tile", "countdowns", "register_values"]

TIMEOUT = 50_000_000
"""Cycles after which a command that has not answered is taken for dead."""

STEP_REGISTERS: tuple[str, ...] = ("forward_step", "backward_step", "update_step")

PULSE_MODES = ("stochastic-compressed", "mean-count", "deterministic-implicit")


def register_values(config: Config, rows: int, cols: int, number: int) -> dict[str, int]:
    """Return the values of all tile registers that do not change from step to step.

    Keys are those of `ohmgrid.registers.protocol.TILE_REGISTERS`; registers of the learning rate
    are left out, and those that count down (`countdowns`).
    """
    formats = config.formats
    device = device_registers(config.device.unit, formats.weight_bits, formats.curve_segments)
    values = {"seed": config.seed, "number": number, "rows": rows, "cols": cols}
    values |= {"x_frac": formats.x_frac, "d_frac": formats.d_frac}
    for name, lines in (("forward", cols), ("backward", rows)):
        io = getattr(config, name)
        read = asdict(read_registers(io, device.lsb, max(1, lines)))
        values |= {f"{name}_{key}": value for key, value in read.items()}
        values[f"{name}_read"] = int(bool(io.physics))
        registers = converter_registers(io, device.lsb)
        values |= {f"{name}_{key}": value for key, value in asdict(registers).items()}
        values |= {
            f"{name}_dac_half": io.dac_half,
            f"{name}_adc_half": io.adc_half,
            f"{name}_managed": int(io.noise_management == "abs-max"),
            f"{name}_perfect": int(io.perfect),
        }
    forward = config.forward
    repeats = forward.bound_management == "iterative" and not forward.perfect
    passes = forward.max_passes if repeats else 1
    pulses = config.pulses
    aging = aging_registers(config.device.unit, device.lsb, formats.weight_bits, config.batch)
    refresh = refresh_registers(config, device.lsb) if config.device.paired else None
    values["time_every"] = aging.every
    if refresh and refresh.every:
        values |= {
            "refresh_every": refresh.every,
            "refresh_upper": refresh.upper,
            "refresh_lower": refresh.lower,
            "refresh_desired_bl": refresh.pulses.desired_bl,
            **{f"refresh_{name}": value for name, value in asdict(refresh.rate).items()},
        }
    converter, half = (refresh.converter, refresh.half) if refresh else (None, 0)
    values |= pack_aging_registers(aging, device.symmetry_point, converter, half)
    return values | {
        "forward_passes": passes,
        "managed": int(pulses.managed),
        "bl_managed": int(pulses.update_bl_management),
        "desired_bl": pulses.desired_bl,
        "pulse_type": PULSE_MODES.index(pulses.pulse_type),
        "serial": int(device.serial),
        "paired": int(config.device.paired),
    }


def countdowns(values: Mapping[str, int], updates: int) -> dict[str, int]:
    """Return the registers that count down to leak, diffusion and refresh, after some updates.

    Parameters
    ----------
    values : mapping
        As from `register_values`.
    updates : int
        Updates so far.
    """
    names = [name for name in ("time", "refresh") if values.get(f"{name}_every")]
    return {
        f"{name}_left": values[f"{name}_every"] - updates % values[f"{name}_every"]
        for name in names
    }


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


class TileDriver:
    """Commands of a tile over anything that moves words through its four streams.

    Parameters
    ----------
    link : object
        Has ``transact(inputs, outputs, max_cycles) -> (words, cycles)``, as an instance of
        `ohmgrid.sim.cxxrtl.library`.
    """

    def __init__(self, link):
        self.link = link
        self.cycles = 0
        """Clock cycles of the last command."""

    def registers(self, values: Mapping[str, int]) -> list[int]:
        """Return the commands that write tile registers."""
        names = list(TILE_REGISTERS)
        for name, value in values.items():
            if not 0 <= value < 1 << TILE_REGISTERS[name]:
                raise ValueError(
                    f"register {name}: expected {TILE_REGISTERS[name]} bits, got {value}"
                )
        return [command(Op.SET, names.index(name), value) for name, value in values.items()]

    def device(
        self, registers: DeviceRegisters, weight_bits: int, aging: AgingRegisters | None = None
    ) -> list[int]:
        """Return the commands that write the device's registers and its tables.

        Those of ``aging`` too, if it is given: a device that changes with time needs them.
        """
        commands = [
            command(Op.SET, len(TILE_REGISTERS) + place, value & 0xFFFFFFFF)
            for place, value in enumerate(pack_registers(registers).values())
        ]
        tables = [*pack_tables(registers, weight_bits)]
        if aging is not None:
            tables += pack_aging_tables(aging, registers, weight_bits)
        commands += [table_command(*write) for write in tables]
        return commands

    def run(self, commands: list[int], vector=(), results: int = 0) -> tuple[np.ndarray, list]:
        """Send commands with the words that they take; return results and decoded answers.

        Parameters
        ----------
        commands : list of int
        vector : integers
            Words for the input stream.
        results : int
            Words that the commands send.

        Raises
        ------
        RuntimeError
            If an answer has an error bit.
        """
        answers = sum((c & 255) != Op.SET for c in commands)
        columns = [(c & (2**64 - 1), c >> 64) for c in commands]
        words, self.cycles = self.link.transact(
            {
                "cmd": np.array(columns, np.uint64).reshape(-1, 2),
                "i": np.asarray(vector, np.int64),
            },
            {"o": results, "r": answers},
            max_cycles=TIMEOUT,
        )
        decoded = [Answer.decode(int(word)) for word in words["r"]]
        for answer in decoded:
            if answer.error:
                names = [e.name for e in Error if answer.error & e]
                raise RuntimeError(f"tile: op {answer.op} reported {', '.join(map(str, names))}")
        spare = 64 - OUT_BITS
        return (words["o"].view(np.int64) << spare) >> spare, decoded


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
        self._values = register_values(config, rows, cols, number)
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
        values = dict(zip(STEP_REGISTERS, steps, strict=True)) | countdowns(self._values, steps[2])
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

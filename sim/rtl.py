"""The `rtl` engine: the gateware itself, compiled to a shared library and driven by its streams."""

from dataclasses import asdict
from typing import Any

import numpy as np

from ohmgrid.config import Config
from ohmgrid.core import Seen
from ohmgrid.doors.checks import ConfigError
from ohmgrid.host.protocol import EXAMPLES_BITS, Op, command
from ohmgrid.host.registers import countdowns, entry_values
from ohmgrid.host.trainer import load_activation, load_places, load_scales, load_steps
from ohmgrid.model.array.sweep import memory_order
from ohmgrid.model.base.noise import op_key, seed_key
from ohmgrid.model.core.core import Core
from ohmgrid.model.core.operations import update_trains
from ohmgrid.model.core.sequencer import Order
from ohmgrid.model.device.population import populate
from ohmgrid.net import Answer, Net
from ohmgrid.registers.arrays import STATE, STEPS, WORD_BITS
from ohmgrid.registers.edge import PulseRegisters
from ohmgrid.registers.meters import (
    ARRAY_FIELDS,
    FIELDS,
    METER_BITS,
    METERS,
    TOTAL_FIELDS,
    TOTALS,
)
from ohmgrid.registers.noise import Verb
from ohmgrid.registers.steps import Step, StepVerb
from ohmgrid.sim.gateware import Gateware
from ohmgrid.tile import TileBase, TileState

__all__ = ["RtlCore", "RtlTile"]

STATE_WORDS = sum(STATE.values()) // WORD_BITS
"""Words of an entry that verbs change."""


class RtlTile(TileBase):
    """One array of a simulated core; the interface and the bits are those of the model.

    References and the weights of stuck devices are drawn here and written once. After an error of
    the gateware the tile refuses all calls but `load`, which starts the gateware anew.

    Parameters
    ----------
    config : Config
    rows, cols : int
    number : int
        Number of the tile, in the address of its noise.
    gateware : Gateware, optional
        The core that the array is in; without, it has one of its own.
    array : int
        Number of the array in that core.

    Raises
    ------
    ConfigError
        If the array does not fit the build, or the device needs what the build lacks.

    Attributes
    ----------
    cycles : int
        Clock cycles of the last operation, its vectors and commands included.
    """

    def __init__(
        self,
        config: Config,
        rows: int,
        cols: int,
        number: int = 0,
        gateware: Gateware | None = None,
        array: int = 0,
    ) -> None:
        super().__init__(config, rows, cols, number)
        self.gateware = gateware or Gateware(config, [(rows, cols)])
        self._array = array
        place = self.gateware.places[array]
        key = op_key(seed_key(config.seed), Verb.STATIC, number, 0)
        self._population = populate(
            key, *self.device_shape, self.device, config.formats.weight_bits
        )
        self._row, self._col = memory_order(
            self.device_shape[0], cols, config.build.lanes, place.turned, place.devices
        )
        self._entry = entry_values(config, place, number)
        self._start = 0
        """Start of the gateware since which this array is loaded."""
        self._x: np.ndarray | None = None
        """Activations that the core holds for the array, as far as is known."""
        self.load(TileState(np.zeros(self.device_shape, np.int32), (0, 0, 0)))

    def _write_entry(self, first_word: int, **more: int) -> list[int]:
        """Return the commands that write the array's entry from a word on."""
        values, physics = self._entry | more, self.config.build.read_physics
        return self.gateware.driver.entry(self._array, values, physics, first_word)

    def _command(self, op: Op) -> int:
        return command(op, self._array)

    def _load_x(self, values: np.ndarray) -> tuple[list[int], list[int]]:
        """Return command and words that bring activations to the core, none if they are there."""
        if self._x is not None and np.array_equal(values, self._x):
            return [], []
        return [self._command(Op.LOAD_X)], values.tolist()

    def check(self) -> None:
        """Raise `RuntimeError` unless the core holds the array."""
        if self._start != self.gateware.starts:
            raise RuntimeError(
                "tile: expected a state to be loaded, the gateware was started anew after an error"
            )

    def _send(self, commands: list[int], words=(), results: int = 0) -> tuple[np.ndarray, list]:
        """Send commands and words, if the core holds the array."""
        self.check()
        sent = self.gateware.send(commands, words, results)
        self.cycles = self.gateware.driver.cycles
        return sent

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return ``W x`` (int64, shape (rows,))."""
        x = self._edge("x", x, self.cols)
        commands, words = self._load_x(x)
        y, answers = self._send([*commands, self._command(Op.FORWARD)], words, self.rows)
        self._x = x
        self._steps[0] += 1
        self.passes, self.saturated = answers[-1].passes, answers[-1].saturated
        return y

    def backward(self, d: np.ndarray) -> np.ndarray:
        """Return ``W^T d`` (int64, shape (cols,))."""
        words = self._edge("d", d, self.rows).tolist()
        commands = [self._command(Op.LOAD_D), self._command(Op.BACKWARD)]
        z, answers = self._send(commands, words, self.cols)
        self._steps[1] += 1
        self.saturated = answers[-1].saturated
        return z

    def backward_of_edge(self) -> np.ndarray:
        """Return ``W^T d`` (int64, shape (cols,)) of the errors that the core holds for the array.

        They are those that the last run left, of the first example of a mini-batch.
        """
        return self._send([self._command(Op.BACKWARD)], (), self.cols)[0]

    def update(self, x: np.ndarray, d: np.ndarray, lr: float) -> None:
        """Apply ``W -= lr d x^T`` by coincident pulses."""
        x, d, registers = self._update_arguments(x, d, lr)
        rate = self._write_rate(registers)
        commands, words = self._load_x(x)
        key = op_key(seed_key(self.config.seed), Verb.UPDATE, self.number, self._steps[2])
        commands += [self._command(Op.LOAD_D), self._command(Op.UPDATE)]
        self._send([*rate, *commands], words + d.tolist())
        self._x = x
        self._steps[2] += 1
        # The gateware does not count: the model's function does, of the same vectors.
        self.pulses = update_trains(x, d, self.config, registers, key).counts
        if countdowns(self.gateware.values, self._steps[2] - 1).get("refresh_left") == 1:
            # A refresh writes vectors of its own to the array's edge.
            self._x = None

    def set_rate(self, lr: float) -> list[int]:
        """Return the commands that have the core update at a learning rate; none if it does."""
        return self._write_rate(self._pulse_registers(lr))

    def _write_rate(self, registers: PulseRegisters) -> list[int]:
        """Return the commands that write the registers of updates, if the entry has others."""
        fields = asdict(registers)
        if fields.items() <= self._entry.items():
            return []
        self._entry |= fields
        return self._write_entry(STATE_WORDS)

    def advance(self, forward: int, backward: int, update: int) -> None:
        """Count operations that the core did without being told one by one."""
        self._steps = [a + b for a, b in zip(self._steps, (forward, backward, update), strict=True)]
        self._x = None

    def backward_update(self, x: np.ndarray, d: np.ndarray, lr: float) -> np.ndarray:
        """Return `backward` of the old weights, then `update`."""
        self._update_arguments(x, d, lr)
        z = self.backward(d)
        self.update(x, d, lr)
        return z

    def state(self) -> TileState:
        """Return a copy of the state."""
        first, second, third = self._steps
        return TileState(self._read(), (first, second, third))

    def load(self, state: TileState) -> None:
        """Take over a state; raise `ValueError` where it does not fit this tile."""
        weights, steps = self._state(state)
        gateware = self.gateware
        if gateware.lost or not gateware.starts:
            gateware.start(self)
        fresh = self._start != gateware.starts
        self._start = gateware.starts
        counts = dict(zip(STEPS, steps, strict=True)) | countdowns(gateware.values, steps[2])
        # An entry is written whole, so what is fixed is derived again.
        self._send([*self._write_entry(0, **counts), self._command(Op.SETUP)])
        self._x = None
        if fresh and self.config.build.references:
            self._write(Op.WRITE_REFERENCES, self._population.static.reference)
        self._write(Op.WRITE_CELLS, self._population.hold_stuck(weights))
        self._steps = steps

    def _read(self) -> np.ndarray:
        """Return all conductances (int32, shape `device_shape`)."""
        words, _ = self._send([self._command(Op.READ_CELLS)], (), self._row.size)
        weights = np.zeros(self.device_shape, np.int32)
        weights[self._row, self._col] = words
        return weights

    def _write(self, op: Op, cells: np.ndarray) -> None:
        """Send one word for each device, shape `device_shape`."""
        self._send([self._command(op)], cells[self._row, self._col])


class RtlCore(Core):
    """A net on one simulated core that trains by itself.

    Parameters
    ----------
    config : Config
    net : Net
    threads : int
        Without effect.
    """

    block = 64

    def __init__(self, config: Config, net: Net, threads: int = 1) -> None:
        gateware = self.gateware = Gateware(config, net.shapes)
        tiles = self._tiles = [
            RtlTile(config, rows, cols, number, gateware, number)
            for number, (rows, cols) in enumerate(net.shapes)
        ]
        super().__init__(config, net, threads, tiles)
        # Start of the gateware since which this net's tables are loaded, and the step table there.
        self._start, self._steps = 0, []
        self._started, self._meters = 0, np.zeros(0, np.int64)
        self.cycles = 0
        """Clock cycles of the last run of examples."""
        self.meters: dict[str, Any] = {}
        """What the gateware counted in it (`ohmgrid.registers.meters`), lists with an entry for
        each array."""

    def _tables(self, steps: list[Step]) -> list[int]:
        """Return the commands that load what is not loaded yet."""
        commands = []
        if self._start != self.gateware.starts:
            activation, formats = self.net.activation, self.config.formats
            commands += load_scales(self.scales)
            commands += load_places(self.gateware.places)
            commands += load_activation(activation, formats.x_frac)
            self._start, self._steps = self.gateware.starts, []
        if steps != self._steps:
            commands += load_steps(steps)
            self._steps = steps
        return commands

    def _preparation(self, steps: list[Step], lr: float | None) -> list[int]:
        """Return the commands that a run needs before it: tables, and learning rates if any."""
        commands = []
        for tile in self._tiles:
            tile.check()
            if lr is not None:
                commands += tile.set_rate(lr)
        return commands + self._tables(steps)

    def load_training(self, lr: float, batch: int) -> None:
        """Load what training in mini-batches needs: what comes then are examples alone."""
        self.load_table(self._training(batch), lr)

    def forget_tables(self) -> None:
        """Load all tables before the next run: others may be there now."""
        self._start = 0

    def load_table(self, steps: list[Step], lr: float) -> None:
        """Load a step table, and all else that running it with a learning rate needs."""
        self.gateware.send(self._preparation(steps, lr))

    def _count(self, order: Order) -> None:
        """Read the counters of the gateware; add what is new to those of the order."""
        layers, fields = len(self._tiles), len(ARRAY_FIELDS)
        rows = [(layer, field) for layer in range(layers) for field in range(fields)]
        totals = [(TOTALS, field) for field in range(len(TOTAL_FIELDS))]
        counts = np.array(self.gateware.driver.counters(rows + totals), np.int64)
        if self._started != self.gateware.starts:
            self._meters, self._started = np.zeros_like(counts), self.gateware.starts
        new, self._meters = (counts - self._meters) % (1 << METER_BITS), counts
        of_arrays = new[: layers * fields].reshape(layers, fields)
        self.meters = dict(zip(ARRAY_FIELDS, of_arrays.T.tolist(), strict=True)) | dict(
            zip(TOTAL_FIELDS, new[layers * fields :].tolist(), strict=True)
        )
        if order.counters:
            order.counters.merge(of_arrays[:, : len(FIELDS)])
            for name in (*METERS, *TOTAL_FIELDS):
                before = np.array(self.clock.get(name, 0))
                self.clock[name] = (before + self.meters[name]).tolist()

    def run(
        self, steps: list[Step], pixels: np.ndarray, labels: np.ndarray, order: Order
    ) -> list[Answer]:
        """Run a step table in the gateware; see `ohmgrid.model.core.core.Core.run`."""
        if not len(labels):
            return []
        verbs = {step.verb for step in steps}
        learns, waits = StepVerb.PULSE in verbs, StepVerb.WAIT in verbs
        room, size = self.config.build.edge, min(order.batch, len(labels))
        if learns and size > room:
            raise ConfigError(
                "batch", f"expected at most {room} examples (build.edge), got {order.batch}"
            )
        commands = self._preparation(steps, order.rate if learns else None)
        examples, counting = len(labels), int(order.counters is not None)
        commands.append(command(Op.RUN, counting, size << EXAMPLES_BITS | examples))
        words = np.column_stack([labels, pixels])
        counts = examples if StepVerb.COUNT in verbs else 0
        if waits and counts:
            raise ValueError("steps: expected WAIT or COUNT, got both")
        if waits:
            answers = self._ask(commands, words, order)
        else:
            sent = [self._tiles[step.array].rows for step in steps if step.verb == StepVerb.SEND]
            results, answers = self.gateware.send(
                commands, words.ravel(), examples * sum(sent), counts
            )
            self.cycles = self.gateware.driver.cycles
            if order.host and sent:
                for each in np.split(results, np.cumsum(sent * examples)[:-1]):
                    order.host(each)
        for number, tile in enumerate(self._tiles):
            tile.advance(examples, examples * (learns and number > 0), examples * learns)
        self._count(order)
        return [Answer(bool(answer.passes), answer.saturated) for answer in answers[:counts]]

    def _ask(self, commands: list[int], words: np.ndarray, order: Order) -> list:
        """Run a table that sends results to the host and waits for their errors.

        Return its answers, which come at the end.
        """
        rows, errors, cycles = self._tiles[-1].rows, [], 0
        for example in words:
            results = self.gateware.ask(commands, [*errors, *example.tolist()], rows)
            cycles += self.gateware.driver.cycles
            answered = order.host(results) if order.host else results
            commands, errors = [], answered.tolist()
        answers = self.gateware.send([], errors, 0, 1)[1]
        self.cycles = cycles + self.gateware.driver.cycles
        return answers

    def sense(self, pixels: np.ndarray, label: int, lr: float) -> list[Seen]:
        """Take one example forward and backward in the gateware; return what it shows.

        Results of an array leave by a SEND behind the step. Those of backward operations have none:
        the table ends before, and a command has the array multiply the errors that lie at its edge.
        """
        start, example = self.state(), (pixels[None], np.array([label]))
        learning = self._sensing.index(Step(StepVerb.COUNT)) + 1
        steps = []
        for step in self._sensing[:learning]:
            steps.append(step)
            if step.verb == StepVerb.MAC:
                steps.append(Step(StepVerb.SEND, array=step.array))
        results: list[np.ndarray] = []
        [answer] = self.run(
            [*steps, Step(StepVerb.END)], *example, Order(host=lambda y: results.append(y) or y)
        )
        seen = [Seen("forward", n, "output", values) for n, values in enumerate(results)]
        seen += self._seen_answer(answer)
        for place in range(learning, len(self._sensing) - 1):
            self.load(start)
            self.run([*self._sensing[:place], Step(StepVerb.END)], *example, Order())
            tile = self._tiles[self._sensing[place].array]
            seen.append(Seen("backward", tile.number, "output", tile.backward_of_edge()))
        return seen

"""A simulated core beside the golden models of its arrays: bench and scoreboard for cocotb.

What goes into the core's streams is fed to the golden models, and to the golden interpreter of step
tables; what comes out is compared with what they said, word by word.
"""

import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from ohmgrid.config import Config
from ohmgrid.host.driver import CoreDriver
from ohmgrid.host.protocol import INNER, SILENT, Answer, Error, Op, command
from ohmgrid.host.registers import core_values, countdowns, entry_values
from ohmgrid.model.array.sweep import memory_order
from ohmgrid.model.core.tile import Tile, TileState
from ohmgrid.model.periphery.pulses import plan_update
from ohmgrid.net import Answer as ExampleAnswer
from ohmgrid.registers.arrays import STEPS
from ohmgrid.registers.edge import pulse_registers
from ohmgrid.registers.layout import Place
from ohmgrid.registers.map import CORE, DEVICE, TABLES, TRAINER
from ohmgrid.sim.streams import Scoreboard, Streams

__all__ = ["ARRAY_VERBS", "CoreArray", "CoreBench", "CoreScoreboard"]

ARRAY_VERBS = [op for op in Op if op not in (*SILENT, *INNER, Op.RUN, Op.COUNTER)]
"""Commands on an array."""
REGISTERS = {register.number for register in (*CORE.values(), *DEVICE.values())}
REGISTERS |= {*TABLES.values(), *TRAINER.values()}
STEP = 7
"""Operations that arrays have behind them when they are loaded."""


class CoreArray:
    """One array: its golden model, its vectors, and where it lies in the core.

    Parameters
    ----------
    config : Config
    place : Place
    number : int
    rate : float
        Learning rate of its updates.
    """

    def __init__(self, config: Config, place: Place, number: int, rate: float):
        self.config, self.place, self.number, self.rate = config, place, number, rate
        self.model = Tile(config, place.rows, place.cols, number)
        self.row, self.col = memory_order(
            *self.model.device_shape, config.build.lanes, place.turned, place.devices
        )
        self.x = np.zeros(place.cols, np.int64)
        self.d = np.zeros(place.rows, np.int64)

    def slots(self) -> int:
        """Return the bit length of an update."""
        formats = self.config.formats
        registers = pulse_registers(self.config, self.model.device.granularity, self.rate)
        largest = int(np.abs(self.x).max()), int(np.abs(self.d).max())
        fracs = formats.x_frac, formats.d_frac
        return plan_update(*largest, self.config.pulses, registers, fracs).bl


class CoreScoreboard(Scoreboard):
    """Golden models, fed by what a core takes by ``cmd`` and ``i``: what comes by ``o`` and ``r``.

    Parameters
    ----------
    config : Config
    places : sequence of Place
        Arrays of the core, as `ohmgrid.registers.layout.place_arrays` returns them.
    rate : float
        Learning rate of updates.

    Attributes
    ----------
    arrays : list of CoreArray
    learn : callable
        Runs the golden interpreter on the examples of the next `Op.RUN`; returns their answers.
    """

    def __init__(self, config: Config, places: Sequence[Place], rate: float = 0.05):
        super().__init__()
        self.arrays = [
            CoreArray(config, place, number, rate) for number, place in enumerate(places)
        ]
        self.learn: Callable[[], Sequence[ExampleAnswer]] = lambda: []
        self._array, self._entries = self.arrays[0], config.build.arrays
        self._words: list[int] = []
        self._wanted = self._op = self._error = 0

    def went_in(self, stream: str, word: int) -> None:
        """Feed the models with a command, or a word of a vector."""
        if stream == "cmd":
            self._take_command(word)
        else:
            self._take_word(word)

    def came_out(self, stream: str, word: int) -> None:
        """Compare; a command that is refused answers with its error alone."""
        if stream == "r":
            assert not self.expected.get("o"), "an answer before the last result"
            answers = self.expected.get("r")
            if answers and Answer.decode(answers[0]).error:
                mask = (1 << 16) - 1
                word, answers[0] = word & mask, answers[0] & mask
        super().came_out(stream, word)

    def _answer(self, bl: int = 0) -> None:
        """Expect an answer."""
        forward, model = self._op == Op.FORWARD, self._array.model
        multiplied = forward or self._op == Op.BACKWARD
        passes = model.passes if forward else 1
        saturated = model.saturated if multiplied else 0
        answer = Answer(self._op, self._error, passes, bl, saturated)
        self.expect("r", [answer.encode()])
        self._error = 0

    def _take_command(self, word: int) -> None:
        self._op, arg = word & 255, word >> 8 & 255
        if self._op == Op.SET:
            if arg not in REGISTERS:
                self._error |= Error.ILLEGAL
            return
        if self._op == Op.RUN:
            told = [Answer(Op.COUNT, 0, answer.hit, 0, answer.word) for answer in self.learn()]
            told.append(Answer(Op.RUN, 0, 1, 0, 0))
            self.expect("r", [answer.encode() for answer in told])
            return
        if self._op not in (*ARRAY_VERBS, Op.ENTRY) or arg >= self._entries:
            self._error |= Error.ILLEGAL
        elif self._op == Op.ENTRY:
            return
        elif arg >= len(self.arrays):
            self._error |= Error.SHAPE
        else:
            self._array = array = self.arrays[arg]
            if self._op in (Op.LOAD_X, Op.LOAD_D, Op.WRITE_CELLS, Op.WRITE_REFERENCES):
                counts = {Op.LOAD_X: array.place.cols, Op.LOAD_D: array.place.rows}
                self._wanted = counts.get(Op(self._op), array.row.size)
                self._words = []
            else:
                self._work()
            return
        self._answer()

    def _take_word(self, word: int) -> None:
        if self._op == Op.RUN:
            return
        assert self._wanted > 0, "the core takes a word that no command asked for"
        self._words.append(word)
        self._wanted -= 1
        if self._wanted:
            return
        values, array = np.array(self._words, np.int64), self._array
        if self._op == Op.LOAD_X:
            array.x = values
        elif self._op == Op.LOAD_D:
            array.d = values
        elif self._op == Op.WRITE_CELLS:
            weights = np.zeros(array.model.device_shape, np.int32)
            weights[array.row, array.col] = values
            steps = array.model.state().steps if array.model.weights.any() else (STEP, STEP, STEP)
            array.model.load(TileState(weights, steps))
        self._answer()

    def _work(self) -> None:
        """Do what the command says, on the model."""
        array, model = self._array, self._array.model
        if self._op == Op.FORWARD:
            self.expect("o", model.forward(array.x).tolist())
        elif self._op == Op.BACKWARD:
            self.expect("o", model.backward(array.d).tolist())
        elif self._op == Op.UPDATE:
            model.update(array.x, array.d, array.rate)
        elif self._op == Op.READ_CELLS:
            self.expect("o", model.weights[array.row, array.col].tolist())
        self._answer(array.slots() if self._op == Op.UPDATE else 0)


class CoreBench:
    """A core whose four streams wait when they like, and its scoreboard.

    Parameters
    ----------
    dut : handle of a `ohmgrid.hdl.core.core.Core`
    config : Config
        It is built and loaded with.
    places : sequence of Place
        Arrays.
    waiting : float
        Chance that a stream waits in a cycle.

    Attributes
    ----------
    commands, inputs : deque
        What waits for ``cmd`` and ``i``.
    """

    loaded = False
    """The device's tables are there: no reset clears a memory."""

    def __init__(self, dut: Any, config: Config, places: Sequence[Place], waiting: float = 0.0):
        self.dut, self.config, self.places = dut, config, places
        self.streams = Streams(dut, ("i", "cmd"), ("o", "r"), waiting, signed=("o",))
        self.commands: deque[int] = self.streams.queues["cmd"]
        self.inputs: deque[int] = self.streams.queues["i"]
        self.scoreboard = CoreScoreboard(config, places)
        self._driver = CoreDriver

    async def start(self) -> None:
        """Reset, then load registers, tables, entries, and random weights."""
        await self.streams.reset()
        self.scoreboard = CoreScoreboard(self.config, self.places)
        values = core_values(self.config)
        self.commands.extend(self._driver.registers(values))
        model = self.scoreboard.arrays[0].model
        aging = model.aging if countdowns(values, 0) else None
        device = self._driver.device(model.device, self.config.formats.weight_bits, aging)
        if CoreBench.loaded:
            device = [word for word in device if word >> 8 & 255 not in TABLES.values()]
        self.commands.extend(device)
        for number in range(len(self.places), self.config.build.arrays):
            # What a memory holds from before is none of these arrays.
            self.entry(number, {})
        for array in self.scoreboard.arrays:
            self._place(array)
            self.commands.append(command(Op.SETUP, array.number))
            references = array.model.population.static.reference[array.row, array.col].tolist()
            if self.config.build.references:
                self.load(Op.WRITE_REFERENCES, array, references)
            top = int(0.7 / array.model.lsb)
            words = [random.randint(-top, top) for _ in range(array.row.size)]
            self.load(Op.WRITE_CELLS, array, words)
        waiting = self.streams.waiting
        self.streams.waiting = waiting if CoreBench.loaded else 0.0
        await self.finish()
        self.streams.waiting, CoreBench.loaded = waiting, True

    def entry(self, number: int, values: dict[str, int]) -> None:
        """Write words of an entry of the array table."""
        physics = self.config.build.read_physics
        self.commands.extend(self._driver.entry(number, values, physics))

    def _place(self, array: CoreArray) -> None:
        """Write the whole entry of an array, as before any operation."""
        granularity = array.model.device.granularity
        self.entry(
            array.number,
            entry_values(self.config, array.place, array.number)
            | asdict(pulse_registers(self.config, granularity, array.rate))
            | dict.fromkeys(STEPS, STEP)
            | countdowns(core_values(self.config), STEP),
        )

    def load(self, op: Op, array: CoreArray, words: list[int]) -> None:
        """Send a command, and the words that it takes."""
        self.commands.append(command(op, array.number))
        self.inputs.extend(words)

    def load_vectors(self, array: CoreArray) -> None:
        """Load random activations and errors, at least one of each not zero."""
        top = (1 << (self.config.formats.edge_bits - 1)) - 1
        for op, count in ((Op.LOAD_X, array.place.cols), (Op.LOAD_D, array.place.rows)):
            shift = random.randrange(8)
            words = [random.choice([0, 1, 1]) * (random.randint(-top, top) >> shift)
                     for _ in range(count)]  # fmt: skip
            words[random.randrange(count)] = top >> shift
            self.load(op, array, words)

    async def cycle(self) -> None:
        """Run a cycle."""
        await self.scoreboard.cycle(self.streams)
        assert not int(self.dut.errors.value) & Error.COLLISION

    async def finish(self) -> None:
        """Run until the core has done all that it was told."""
        await self.scoreboard.finish(self.streams)
        assert not int(self.dut.errors.value) & Error.COLLISION

"""A net on one core of gateware that trains by itself."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ohmgrid.config import Config
from ohmgrid.core import Seen
from ohmgrid.devices.mixed_precision import MixedPrecision
from ohmgrid.devices.transfer import Transfer
from ohmgrid.doors.checks import ConfigError
from ohmgrid.gateware.held import Gateware
from ohmgrid.gateware.kinds import make_tile
from ohmgrid.gateware.transfer import GatewareTransferTile
from ohmgrid.host.driver import Examples, Item
from ohmgrid.host.protocol import EXAMPLES_BITS, Op, command
from ohmgrid.host.trainer import load_activation, load_places, load_scales, load_steps
from ohmgrid.model.core.core import Core
from ohmgrid.model.core.order import Order
from ohmgrid.net import Answer, Net
from ohmgrid.registers.meters import (
    ARRAY_FIELDS,
    FIELDS,
    METER_BITS,
    METERS,
    PULSE_FIELDS,
    TOTAL_FIELDS,
    TOTALS,
)
from ohmgrid.registers.steps import APART, MOST_STEPS, Step, StepVerb

__all__ = ["GatewareCore"]


class GatewareCore(Core):
    """A net on one core of gateware that trains by itself.

    Parameters
    ----------
    config : Config
    net : Net
    gateware : Gateware
        With a place for each array of the net.
    """

    block = 64

    def __init__(self, config: Config, net: Net, gateware: Gateware) -> None:
        self.gateware = gateware
        tiles = self._tiles = [
            make_tile(config, rows, cols, number, gateware)
            for number, (rows, cols) in enumerate(net.shapes)
        ]
        super().__init__(config, net, 1, tiles)
        # Where what is read for a transfer goes through buffers that the build has not, the host is
        # between the arrays; of mixed precision it adds up the updates.
        device = config.device
        self.hosted = isinstance(device, MixedPrecision) or (
            isinstance(device, Transfer) and not self.columns
        )
        self._writes = [tile for tile in tiles if isinstance(tile, GatewareTransferTile)]
        if (steps := len(self._training(2))) > MOST_STEPS:
            raise ConfigError(
                "device.n_reads_per_transfer",
                f"expected a table of at most {MOST_STEPS} steps with this net, got {steps}",
            )
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

    def set_gains(self, gains: Sequence[float]) -> None:
        """Multiply the forward scale of each layer; see `ohmgrid.core.Core.set_gains`."""
        super().set_gains(gains)
        self.forget_tables()

    def forget_tables(self) -> None:
        """Load all tables before the next run: others may be there now."""
        self._start = 0

    def load_table(self, steps: list[Step], lr: float) -> None:
        """Load a step table, and all else that running it with a learning rate needs."""
        self.gateware.send(self._preparation(steps, lr))

    def _read_counters(self) -> np.ndarray:
        """Return all counters of the gateware (int64): those of the arrays, then the totals."""
        arrays, fields = len(self.gateware.places), len(ARRAY_FIELDS)
        rows = [(array, field) for array in range(arrays) for field in range(fields)]
        totals = [(TOTALS, field) for field in range(len(TOTAL_FIELDS))]
        return np.array(self.gateware.driver.counters(rows + totals), np.int64)

    def _count(self, order: Order) -> None:
        """Read the counters of the gateware; add what is new to those of the order."""
        counts, totals = self._read_counters(), len(TOTAL_FIELDS)
        new, self._meters = (counts - self._meters) % (1 << METER_BITS), counts
        each = new[:-totals].reshape(-1, len(ARRAY_FIELDS))
        of_arrays = self.by_layer(each)
        up, down = (each[:, ARRAY_FIELDS.index(name)] for name in ("pulses_up", "pulses_down"))
        # Slow arrays come first.
        for number, tile in enumerate(self._writes):
            tile.count_pulses(int(up[number] + down[number]))
        self.meters = dict(zip(ARRAY_FIELDS, of_arrays.T.tolist(), strict=True)) | dict(
            zip(TOTAL_FIELDS, new[-totals:].tolist(), strict=True)
        )
        if order.counters:
            order.counters.merge(of_arrays[:, : len(FIELDS)])
            for name in (*METERS, *TOTAL_FIELDS):
                before = np.array(self.clock.get(name, 0))
                self.clock[name] = (before + self.meters[name]).tolist()

    def by_layer(self, counts: np.ndarray) -> np.ndarray:
        """Return what is counted of layers, of what is counted of arrays (int64, a row for each).

        Results are those of the slow array, pulses those of the fast one; what takes time does so
        in both.
        """
        layers = len(self._tiles)
        if len(counts) == layers:
            return counts
        slow, fast = counts[:layers], counts[layers:]
        of_both = [name in METERS for name in ARRAY_FIELDS]
        of_fast = [name in PULSE_FIELDS for name in ARRAY_FIELDS]
        return np.where(of_both, slow + fast, np.where(of_fast, fast, slow))

    def run(
        self, steps: list[Step], pixels: np.ndarray, labels: np.ndarray, order: Order
    ) -> list[Answer]:
        """Run a step table in the gateware; see `ohmgrid.model.core.core.Core.run`."""
        if self.hosted or not len(labels):
            return super().run(steps, pixels, labels, order)
        answers, first, cycles = [], 0, 0
        learns = any(step.verb == StepVerb.PULSE for step in steps)
        while first < len(labels):
            for tile in self._tiles:
                tile.settle()
            in_time = [tile.unsettled_in(order.batch) for tile in self._tiles] if learns else []
            part = slice(first, min([first + count for count in in_time], default=len(labels)))
            answers += self._run_part(steps, pixels[part], labels[part], order)
            first += len(labels[part])
            cycles += self.cycles
        self.cycles = cycles
        return answers

    def _run_part(
        self, steps: list[Step], pixels: np.ndarray, labels: np.ndarray, order: Order
    ) -> list[Answer]:
        """Run a step table over examples with nothing due between them that the host does."""
        # What goes to buffers, and comes from there, is not for a host.
        seen = [step for step in steps if step.index != APART]
        verbs = {step.verb for step in seen}
        learns, waits = StepVerb.PULSE in verbs, StepVerb.WAIT in verbs
        room, size = self.config.build.edge, min(order.batch, len(labels))
        if learns and size > room:
            raise ConfigError(
                "batch", f"expected at most {room} examples (build.edge), got {order.batch}"
            )
        commands = self._preparation(steps, order.rate if learns else None)
        if self._started != self.gateware.starts:
            # A reset does not clear them.
            self._meters, self._started = self._read_counters(), self.gateware.starts
        # What writes moved belongs to the state, whoever asks for counters.
        counted = order.counters is not None or bool(self._writes and learns)
        examples, counting = len(labels), int(counted)
        commands.append(command(Op.RUN, counting, size << EXAMPLES_BITS | examples))
        counts = examples if StepVerb.COUNT in verbs else 0
        if waits and counts:
            raise ValueError("steps: expected WAIT or COUNT, got both")
        if waits:
            answers = self._ask(commands, Examples(labels, pixels), order)
        else:
            sent = [self._tiles[step.array].rows for step in seen if step.verb == StepVerb.SEND]
            items = [*commands, Examples(labels, pixels)]
            results, answers = self.gateware.send(items, examples * sum(sent), counts)
            self.cycles = self.gateware.driver.cycles
            if order.host and sent:
                for each in np.split(results, np.cumsum(sent * examples)[:-1]):
                    order.host(each)
        for number, tile in enumerate(self._tiles):
            tile.advance(examples, examples * (learns and number > 0), examples * learns)
        self._count(order)
        return [Answer(bool(answer.passes), answer.saturated) for answer in answers[:counts]]

    def _ask(self, items: Sequence[Item], examples: Examples, order: Order) -> list:
        """Run a table that sends results to the host and waits for their errors.

        Return its answers, which come at the end.
        """
        rows, cycles = self._tiles[-1].rows, 0
        for one in range(len(examples.labels)):
            example = Examples(*(part[one : one + 1] for part in examples))
            results = self.gateware.ask([*items, example], rows)
            cycles += self.gateware.driver.cycles
            items = [order.host(results) if order.host else results]
        answers = self.gateware.send(items, 0, 1)[1]
        self.cycles = cycles + self.gateware.driver.cycles
        return answers

    def sense(self, pixels: np.ndarray, label: int, lr: float) -> list[Seen]:
        """Take one example forward and backward in the gateware; return what it shows.

        Results of an array leave by a SEND behind the step. Those of backward operations have none:
        the table ends before, and a command has the array multiply the errors that lie at its edge.
        """
        if self.hosted:
            return super().sense(pixels, label, lr)
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

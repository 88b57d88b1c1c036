"""The golden interpreter of step tables: it decides what training is, verb by verb.

Integers only; a sequencer in gateware must equal it bit for bit. The arithmetic between two tiles,
``Y`` and ``Z`` being the scales of a layer's results and backward results::

    x_0     = pixels, 1.0
    y_l     = tile_l.forward(x_l)
    x_l+1   = f[rint(y_l * Y)], 1.0                     formats, tables: ohmgrid.registers.layers
    s_l     = f' from the value of f                    sigmoid: a (1 - a), tanh: 1 - a^2
    far_i   = min(rint((max(y) - y_i) * Y), 2**16 - 1)
    p       = e[far] / sum                              softmax cross-entropy:  d = p - onehot
    a       = f[rint(y * Y)]                            squared error:          d = (a - onehot) s
    z_l     = tile_l.backward(d_l)                      without the bias line
    d_l-1   = sat(rint(sat(rint(z_l * Z)) s_l-1))       `GUARD` more bits in between

Where weights have two arrays (`ohmgrid.model.core.transfer`), the fast one of tile l is array
``layers + l``; it takes the vectors of array l.

The prediction is the largest result of the last tile, the first of equals. What clips (``sat``, or
an activation at the edge) is counted, see `ohmgrid.counters`; the ends of a table are the
function's own and are not. Every division and shift rounds to nearest, ties to even.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from ohmgrid.config import Config
from ohmgrid.model.base.arith import at_edge, shift_round
from ohmgrid.model.core.misuse import is_misused
from ohmgrid.model.core.order import IllegalStep, NoArray, Order, UndefinedStep
from ohmgrid.model.core.transfer import TransferTile
from ohmgrid.model.periphery.functions import (
    activate,
    error_below,
    exponential,
    half_squares,
    slope_of,
    softmax_share,
    squared_error,
)
from ohmgrid.net import Answer
from ohmgrid.registers.layers import Scale, exp_tables
from ohmgrid.registers.steps import (
    APART,
    ARRAY_BITS,
    IDLE_STEPS,
    IF_DUE,
    MOST_STEPS,
    SKIPPED,
    Bank,
    Func,
    Step,
    StepVerb,
    Until,
    vector,
)
from ohmgrid.tile import TileEngine

__all__ = ["Sequencer"]


MOVES = (StepVerb.WRITE, StepVerb.LINE, StepVerb.AGE)
"""Verbs of transfers between arrays, which not every build has."""
MOST_OWED = (1 << 16) - 1
"""Examples taken and not drained that a sequencer counts."""


class Sequencer:
    """Interprets step tables on tiles.

    Parameters
    ----------
    config : Config
    tiles : sequence of TileEngine
        Entries of the array table.
    scales : sequence of Scale
        What steps name by ``coef``.
    table : sequence of int
        Values of the activation, `TABLE_SIZE` of them; none for a ReLU.
    """

    def __init__(
        self,
        config: Config,
        tiles: Sequence[TileEngine],
        scales: Sequence[Scale],
        table: Sequence[int],
    ) -> None:
        formats = config.formats
        self.tiles = tiles
        self._formats, self._scales = formats, scales
        # Longer trains are made in parts, of the vectors that are there then.
        self._plans = config.pulses.one_chunk
        self._moves, self._buffers = config.build.transfers, config.build.buffers
        # Weights have two arrays, and steps transfer between them.
        self._several = self._moves and all(
            isinstance(tile, TransferTile) and tile.by_steps for tile in tiles
        )
        self._top = (1 << (formats.edge_bits - 1)) - 1
        self._one = min(1 << formats.x_frac, self._top)
        self._table = np.array(table, np.int64)
        self._exp = tuple(map(np.array, exp_tables()))
        self._order = Order()
        self._reset()

    def _reset(self) -> None:
        # Vectors by slot and by their number in a step, and the results of the last MAC.
        self._vectors: dict[tuple[int, int], np.ndarray] = {}
        self._results = np.zeros(0, np.int64)
        self._planned: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        self._slot = self._filled = 0
        self._label = self._word = 0
        self._taken = False
        self._errors = np.zeros(0, np.int64)
        # What buffers asked for last.
        self._asked = np.zeros(0, np.int64)
        # Array of the last MAC, if that was a forward one, in the slot at work.
        self._forward = -1
        # Whether the last update made a transfer due.
        self._due = False

    def run(
        self, steps: Sequence[Step], pixels: np.ndarray, labels: np.ndarray, order: Order
    ) -> list[Answer]:
        """Run a table from its first step to an END; return the answers of all examples.

        Parameters
        ----------
        steps : sequence of Step
        pixels : integers, shape (examples, inputs)
            ``x_frac`` fraction bits.
        labels : integers, shape (examples,)
        order : Order

        Raises
        ------
        IllegalStep
            A step cannot be done: an unknown verb or condition, no such array, no example left, or
            `IDLE_STEPS` steps without another example, taken or drained.
        UndefinedStep
            A vector that this run has not made, or is not the array's; functions of other results.
        """
        self._reset()
        self._order = order
        examples = zip(pixels, labels.tolist(), strict=True)
        left, at, answers = len(labels), 0, []
        quiet = owed = 0

        def illegal(problem: str, no_array: bool = False) -> IllegalStep:
            return IllegalStep(at - 1, problem, answers, no_array)

        while True:
            if at >= len(steps):
                raise UndefinedStep(f"step {at}: expected {len(steps)} steps at most, and an END")
            step = steps[at]
            at, quiet = at + 1, quiet + 1
            if quiet == IDLE_STEPS:
                raise illegal(f"expected another example within {IDLE_STEPS} steps")
            try:
                match step.verb:
                    case StepVerb.END:
                        return answers
                    case StepVerb.TAKE if self._is_misused(step):
                        pass
                    case StepVerb.TAKE if left == 0 and step.cond & 1:
                        self._taken = False
                        continue
                    case StepVerb.TAKE if left == 0:
                        raise illegal("expected an example, got none")
                    case StepVerb.TAKE if not self._is_misused(step):
                        left, quiet, owed = left - 1, 0, min(owed + 1, MOST_OWED)
                    case StepVerb.LOOP if step.cond not in {*Until}:
                        raise illegal(f"unknown condition {step.cond}")
                    case StepVerb.LOOP:
                        if step.cond == Until.DRAINED and owed:
                            quiet, owed = 0, owed - 1
                        if self._goes_back(step.cond, left):
                            at = step.dst % MOST_STEPS
                        continue
                    case verb if verb not in {*StepVerb} or (verb in MOVES and not self._moves):
                        raise illegal(f"unknown verb {step.verb}")
                if self._is_skipped(step):
                    continue
                if self._is_misused(step):
                    raise illegal("expected results, functions and vectors of its verb")
                self._do(step, examples, answers)
            except NoArray:
                raise illegal("expected an array that is there", no_array=True) from None

    def _do(
        self,
        step: Step,
        examples: Iterator[tuple[np.ndarray, int]],
        answers: list[Answer],
    ) -> None:
        """Do a step that does something with vectors."""
        match step.verb:
            case StepVerb.TAKE:
                self._take(step, examples)
            case StepVerb.MAC:
                self._multiply(step)
            case StepVerb.LOSS:
                self._loss(step)
            case StepVerb.PLAN:
                self._plan(step)
            case StepVerb.PULSE:
                self._pulse(step)
            case StepVerb.LINE:
                self._line(step)
            case StepVerb.WRITE:
                self._slow(step).write(*self._operands(step), self._order.rate)
            case StepVerb.AGE:
                self._slow(step).pass_time()
            case StepVerb.SEND if self._is_apart(step):
                self._asked = self._through(step)
            case StepVerb.SEND:
                if self._order.host:
                    self._errors = self._order.host(self._results)
            case StepVerb.WAIT if self._is_apart(step):
                self._put(step, self._asked)
            case StepVerb.WAIT:
                self._put(step, self._errors)
                self._show("wait", step.dst % (1 << ARRAY_BITS), "error", self._errors)
            case StepVerb.COUNT:
                hit = int(self._results.argmax()) == self._label
                answers.append(Answer(hit, self._word))

    def _owner(self, array: int) -> int:
        """Return the number of the tile that an array is of."""
        layers = len(self.tiles)
        if array < layers:
            return array
        if self._several and array < 2 * layers:
            return array - layers
        raise NoArray

    def _tile(self, array: int) -> TileEngine:
        return self.tiles[self._owner(array)]

    def _slow(self, step: Step) -> TransferTile:
        """Return the tile of the slow array that a step names."""
        tile = self._tile(step.array)
        fast = step.array >= len(self.tiles)
        if not (self._several and isinstance(tile, TransferTile)) or fast:
            raise UndefinedStep(f"{step}: expected a slow array")
        return tile

    def _fast(self, array: int) -> TransferTile | None:
        """Return the tile that an array is the fast one of, if it is one."""
        tile = self._tile(array)
        if array < len(self.tiles):
            return None
        assert isinstance(tile, TransferTile)
        return tile

    def _is_apart(self, step: Step) -> bool:
        return self._moves and step.index == APART

    def _at(self, step: Step) -> int:
        """Return the slot of a step's vectors."""
        return -1 if self._is_apart(step) else self._slot

    def _is_skipped(self, step: Step) -> bool:
        """Return whether a step is not done because no transfer is due."""
        may = self._moves and step.verb in SKIPPED
        return may and step.cond == IF_DUE and not self._due

    def _is_misused(self, step: Step) -> bool:
        """Return whether a step asks for what its verb cannot do."""
        apart, planned = self._is_apart(step), step.array in self._planned
        return is_misused(step, self._forward, planned, apart, bool(self._buffers))

    def _goes_back(self, cond: int, left: int) -> bool:
        """Return whether a LOOP goes back, and choose the slot."""
        if cond in (Until.FILLED, Until.DRAINED):
            self._planned.clear()
            self._forward = -1
        if cond == Until.TAKEN:
            return self._taken
        if cond == Until.FILLED:
            more = left > 0 and self._slot + 1 < self._order.batch
            self._filled = self._slot + 1
            self._slot = self._slot + 1 if more else 0
            return more
        if cond == Until.DRAINED:
            more = self._slot + 1 < self._filled
            self._slot = self._slot + 1 if more else 0
            return more
        return cond == Until.ALWAYS or left > 0

    def _get(self, step: Step, named: int, bank: Bank, array: int) -> np.ndarray:
        """Return the vector of an array; ``named`` is what a step names it."""
        found = self._vectors.get((self._at(step), named))
        if named != vector(bank, self._owner(array)) or found is None:
            raise UndefinedStep(f"vector {named}: expected the array's own, and made in this run")
        return found

    def _put(self, step: Step, values: np.ndarray) -> None:
        """Store a vector; activations get the always-on input behind them."""
        array, activations = step.dst % (1 << ARRAY_BITS), step.dst >> ARRAY_BITS == Bank.X
        if step.verb in (StepVerb.TAKE, StepVerb.WAIT):
            self._tile(array)
        if activations and step.verb != StepVerb.LINE:
            values = np.append(values, self._one)
        shape = [(tile.rows, tile.cols) for tile in self.tiles[array : array + 1]]
        if not shape or len(values) != shape[0][activations]:
            raise UndefinedStep(f"{step}: expected a vector as long as an array's, got another")
        self._vectors[self._at(step), step.dst] = values

    def _count(self, array: int, **values: int) -> None:
        # What is read of a fast array is no result of a layer.
        if self._order.counters and array < len(self.tiles):
            self._order.counters.add(array, **values)

    def _show(self, step: str, layer: int, what: str, values: np.ndarray) -> None:
        if self._order.watch:
            self._order.watch(step, layer, what, values.copy())

    def _take(self, step: Step, examples: Iterator[tuple[np.ndarray, int]]) -> None:
        pixels, self._label = next(examples)
        self._taken = True
        self._put(step, np.asarray(pixels, np.int64))
        self._show("take", step.dst % (1 << ARRAY_BITS), "input", np.asarray(pixels, np.int64))

    def _multiply(self, step: Step) -> None:
        tile, array = self._tile(step.array), step.array
        verb = "backward" if step.way & 1 else "forward"
        func, kind = step.func & 7, step.func >> 3
        self._forward = -1 if step.way & 1 else array
        fast = self._fast(array)
        if step.way & 1:
            if fast:
                raise UndefinedStep(f"{step}: expected an array whose outputs have errors")
            self._results = tile.backward(self._get(step, step.a, Bank.D, array))
            self._count(array, adc_backward=tile.saturated)
        else:
            x = self._get(step, step.a, Bank.X, array)
            self._results = fast.fast.forward(x) if fast else tile.forward(x)
            self._count(array, adc_forward=tile.saturated, passes=tile.passes)
        self._show(verb, array, "output", self._results)
        if not step.dst >> ARRAY_BITS:
            return
        if func == Func.VALUE:
            value = self._activate(array, self._scaled(step, self._results), kind)
            self._show(verb, array, "activation", value)
            self._put(step, -value if self._is_apart(step) else value)
        else:
            # The slope follows from the activation, which is the array's input.
            value = self._get(step, vector(Bank.X, array), Bank.X, array)[:-1]
            slope = slope_of(value, kind, self._formats.x_frac)
            exact = self._scaled(step, self._results[:-1])
            error, lost = error_below(exact, slope, self._top)
            self._put(step, error)
            self._count(step.dst % (1 << ARRAY_BITS), error=int(np.count_nonzero(lost)))
            self._show(verb, array, "error", error)

    def _scaled(self, step: Step, values: np.ndarray) -> np.ndarray:
        if step.coef >= len(self._scales):
            raise UndefinedStep(f"{step}: expected a scale that is there")
        mantissa, shift = self._scales[step.coef]
        return shift_round(values * mantissa, shift)

    def _activate(self, array: int, pre: np.ndarray, kind: int) -> np.ndarray:
        """Return activations (``x_frac``) of scaled results."""
        value, over = activate(pre, kind, self._table, self._formats.x_frac, self._top)
        self._count(array, activation=int(np.count_nonzero(over)))
        return value

    def _loss(self, step: Step) -> None:
        """Make errors (``d_frac``) of the last results, and the answer's word."""
        loss = self._softmax if step.func & 7 == Func.SHARE else self._squared
        error, over = loss(step)
        self._count(step.array, error=int(np.count_nonzero(over)))
        self._show("loss", step.array, "error", error)
        self._put(step, error)

    def _softmax(self, step: Step) -> tuple[np.ndarray, np.ndarray]:
        frac, y = self._formats.d_frac, self._results
        shares = exponential(self._scaled(step, y.max() - y), *self._exp)
        error = softmax_share(shares, shares.sum(), frac)
        self._word = int(error[self._label])
        error[self._label] -= 1 << frac
        return at_edge(error, self._top)

    def _squared(self, step: Step) -> tuple[np.ndarray, np.ndarray]:
        formats, kind = self._formats, step.func >> 3
        value = self._activate(step.array, self._scaled(step, self._results), kind)
        slope = slope_of(value, kind, formats.x_frac)
        miss = value.copy()
        miss[self._label] -= self._one
        self._word = int(half_squares(miss @ miss, formats.x_frac))
        return squared_error(miss, slope, formats.x_frac, formats.d_frac, self._top)

    def _plan(self, step: Step) -> None:
        self._tile(step.array)
        if self._several or self._is_apart(step):
            raise UndefinedStep(f"{step}: expected an array that is updated as planned")
        vectors = self._operands(step)
        if self._plans:
            self._planned[step.array] = vectors

    def _operands(self, step: Step) -> tuple[np.ndarray, np.ndarray]:
        """Return activations and errors of an update."""
        array = step.array
        x = self._get(step, step.a, Bank.X, array)
        return x, self._get(step, step.b, Bank.D, array)

    def _through(self, step: Step) -> np.ndarray:
        """Take the results of a fast array through its buffers; return what they ask for."""
        tile = self._fast(step.array)
        if tile is None or not tile.buffered:
            raise UndefinedStep(f"{step}: expected a fast array with buffers")
        return tile.asked(self._results, self._order.rate)

    def _line(self, step: Step) -> None:
        """Store the line that reads the next column of a fast array."""
        tile = self._fast(step.array)
        if tile is None or step.dst != vector(Bank.X, self._owner(step.array)):
            raise UndefinedStep(f"{step}: expected a fast array, and its own activations")
        self._put(step, tile.line())

    def _pulse(self, step: Step) -> None:
        tile, array = self._tile(step.array), step.array
        vectors = self._planned.pop(array, None) or self._operands(step)
        self._due = False
        if fast := self._fast(array):
            self._due = fast.learn(*vectors, self._order.rate)
        elif self._several:
            raise UndefinedStep(f"{step}: expected an array that errors are for")
        else:
            tile.update(*vectors, self._order.rate)
        if self._order.counters:
            self._order.counters.add_update(self._owner(array), tile.pulses)

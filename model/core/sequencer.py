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

The prediction is the largest result of the last tile, the first of equals. What clips (``sat``, or
an activation at the edge) is counted, see `ohmgrid.counters`; the ends of a table are the
function's own and are not. Every division and shift rounds to nearest, ties to even.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from ohmgrid.config import SLOTS, Config
from ohmgrid.counters import Counters
from ohmgrid.model.base.arith import at_edge, shift_round
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
from ohmgrid.registers.steps import ARRAY_BITS, Bank, Func, Step, StepVerb, Until
from ohmgrid.tile import TileEngine

__all__ = ["Order", "Sequencer"]


class Order(NamedTuple):
    """What a run is given beside its table."""

    batch: int = 1
    """Examples of a mini-batch; the last one may have fewer."""
    rate: float = 0.0
    """Learning rate of each example."""
    counters: Counters | None = None
    """Counts what clips and what is pulsed, if it is to be counted."""
    host: Callable[[np.ndarray], np.ndarray] | None = None
    """Gives the errors of the results that are sent to it."""


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
        self._plans = config.pulses.desired_bl <= SLOTS
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

    def run(
        self, steps: Sequence[Step], pixels: np.ndarray, labels: np.ndarray, order: Order
    ) -> list[Answer]:
        """Run a table from its first step to an END; return the answers of all examples.

        Parameters
        ----------
        steps : sequence of Step
        pixels : integers, shape (examples, inputs)
            ``x_frac`` fraction bits; one example at least.
        labels : integers, shape (examples,)
        order : Order
        """
        self._reset()
        self._order = order
        examples = zip(pixels, labels.tolist(), strict=True)
        left, at, answers = len(labels), 0, []
        while (step := steps[at]).verb != StepVerb.END:
            at += 1
            match step.verb:
                case StepVerb.TAKE if step.cond and not left:
                    self._taken = False
                case StepVerb.TAKE:
                    left -= 1
                    self._take(step, examples)
                case StepVerb.MAC:
                    self._multiply(step)
                case StepVerb.LOSS:
                    self._loss(step)
                case StepVerb.PLAN:
                    self._plan(step)
                case StepVerb.PULSE:
                    self._pulse(step)
                case StepVerb.SEND if order.host:
                    self._errors = order.host(self._results)
                case StepVerb.WAIT:
                    self._put(step, self._errors)
                case StepVerb.COUNT:
                    hit = int(self._results.argmax()) == self._label
                    answers.append(Answer(hit, self._word))
                case StepVerb.LOOP:
                    at = step.dst if self._goes_back(step.cond, left) else at
                case _:
                    raise ValueError(f"step {at - 1}: unknown verb {step.verb}")
        return answers

    def _goes_back(self, cond: int, left: int) -> bool:
        """Return whether a LOOP goes back, and choose the slot."""
        if cond in (Until.FILLED, Until.DRAINED):
            self._planned.clear()
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

    def _get(self, number: int) -> np.ndarray:
        return self._vectors[self._slot, number]

    def _put(self, step: Step, values: np.ndarray) -> None:
        """Store a vector; activations get the always-on input behind them."""
        if step.dst >> ARRAY_BITS == Bank.X:
            values = np.append(values, self._one)
        self._vectors[self._slot, step.dst] = values

    def _count(self, array: int, **values: int) -> None:
        if self._order.counters:
            self._order.counters.add(array, **values)

    def _take(self, step: Step, examples: Iterator[tuple[np.ndarray, int]]) -> None:
        pixels, self._label = next(examples)
        self._taken = True
        self._put(step, np.asarray(pixels, np.int64))

    def _multiply(self, step: Step) -> None:
        tile, array = self.tiles[step.array], step.array
        if step.way:
            self._results = tile.backward(self._get(step.a))
            self._count(array, adc_backward=tile.saturated)
        else:
            self._results = tile.forward(self._get(step.a))
            self._count(array, adc_forward=tile.saturated, passes=tile.passes)
        func, kind = step.func & 7, step.func >> 3
        if not step.dst:
            return
        if func == Func.VALUE:
            self._put(step, self._activate(array, self._scaled(step, self._results), kind))
        else:
            # The slope follows from the activation, which is the array's input.
            value = self._get(int(Bank.X) << ARRAY_BITS | array)[:-1]
            slope = slope_of(value, kind, self._formats.x_frac)
            exact = self._scaled(step, self._results[:-1])
            error, lost = error_below(exact, slope, self._top)
            self._count(array - 1, error=int(np.count_nonzero(lost)))
            self._put(step, error)

    def _scaled(self, step: Step, values: np.ndarray) -> np.ndarray:
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
        if self._plans:
            self._planned[step.array] = (self._get(step.a), self._get(step.b))

    def _pulse(self, step: Step) -> None:
        tile, array = self.tiles[step.array], step.array
        vectors = self._planned.pop(array, None) or (self._get(step.a), self._get(step.b))
        tile.update(*vectors, self._order.rate)
        if self._order.counters:
            self._order.counters.add_update(array, tile.pulses)

"""From the results of one array to what goes into the next: activations, errors, exponentials.

Twin of `ohmgrid.model.periphery.functions`; equations: `ohmgrid.model.core.sequencer`, formats:
`ohmgrid.registers.layers`. Each job is a way through the same pipeline, so that one second product
serves them all::

    SHARE adds -maximum           w = i * mantissa / 2**shift
    VALUE, SQUARED                a = f[w]
    SQUARED                       s = slope of a            o = (a - target) * s
    BELOW                         s = slope of activation   o = w * s
    SHARE                                                   o = coarse[-w] * fine[-w]
    VALUE                                                   o = a * 1.0
"""

from functools import cached_property
from typing import NamedTuple

from amaranth.hdl import Cat, Const, Module, Mux, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ohmgrid.config import Config
from ohmgrid.hdl.base.arith import beyond
from ohmgrid.hdl.base.pipeline import delayed, strobe_after
from ohmgrid.hdl.base.timed import Stages, Timed
from ohmgrid.hdl.periphery.activation import activation_of, slope_of, table_layout
from ohmgrid.hdl.periphery.exponential import exponential_of
from ohmgrid.hdl.periphery.function_job import DROPPED, Choice, chosen, function_layout
from ohmgrid.hdl.periphery.scaling import product_with, shift_rounded
from ohmgrid.hdl.periphery.sums import HalfSquares, Largest
from ohmgrid.host.protocol import OUT_BITS
from ohmgrid.registers.layers import (
    EXP_FRAC,
    GUARD,
    GUARDED_BITS,
    LOSS_BITS,
    MOST_CLASSES,
    SHARE_BITS,
    SLOPE_FRAC,
)
from ohmgrid.registers.steps import Func

__all__ = ["VALUE_BITS", "Functions"]

VALUE_BITS = 18
"""Width of what goes out: an edge value, or a share."""
LINE_BITS = 16
RESULT_BITS = 36
"""Width of the difference of two results where codes are multiplied with an input's scale."""
FACTOR_BITS = 18
"""Width of a multiplier block's factor."""


class _Ways(NamedTuple):
    """What the pipeline gives, and when."""

    o: Timed
    clipped_activation: Timed
    clipped_error: Timed
    square: Timed
    """In a SQUARED job, of what misses the target."""
    activation: Timed
    """When an activation comes in."""


class Functions(wiring.Component):
    """What is done to the results of an array before they go to the edge of the next; a pipeline.

    One result a cycle, in order, `latency` cycles each, whatever the job.

    Parameters
    ----------
    config : Config

    Members
    -------
    job : In(function_layout())
        Constant from a cycle before `start` until the last value is out.
    start : In(1)
        Strobe, at least a cycle before the first value of a vector: what is found over the vectors
        of such a job begins anew; what other jobs found stays.
    i_valid, i : In(1), In(signed(OUT_BITS))
        A result; from a register. Without ``read_physics`` it is below ``2**34``.
    label : In(1)
        With it, in a SQUARED job: the target is 1.0, else 0.
    activation : In(signed(edge_bits))
        In a BELOW job, what a VALUE job gave for this line: `activation_time` cycles after ``i``.
    o_valid, o : Out(1), Out(signed(VALUE_BITS))
        Edge value (VALUE: ``x_frac`` fraction bits; BELOW, SQUARED: ``d_frac``), or share
        (`EXP_FRAC`).
    clipped_activation, clipped_error : Out(1)
        With ``o``: an edge, or `GUARDED_BITS`, clipped on the way. Not counted at a table's ends.
    maximum, best : Out(signed(OUT_BITS)), Out(16)
        Largest result of the last VALUE or SQUARED job, first line that had it: from the cycle
        after its last value. A SHARE job measures distances from it.
    total : Out(24)
        Sum of the last SHARE job's shares, from the cycle after its last ``o_valid``.
    squares : Out(LOSS_BITS)
        Half the sum of the last SQUARED job's squared misses, `squares_latency` cycles after its
        last value.
    table_write : In(table_layout(edge_bits))
        Never while values are in flight.

    Cost: five multiplier blocks; a block RAM for the activation and one for the exponential's fine
    table; LUTs by part in ``docs/hardware.md``.
    """

    def __init__(self, config: Config):
        self._edge_bits = config.formats.edge_bits
        self._bits = OUT_BITS + 1 if config.build.read_physics else RESULT_BITS
        self._lines = config.build.lines
        self._squares = HalfSquares(self._edge_bits * 2, config.build.lines)
        super().__init__(
            {
                "job": In(function_layout()),
                "start": In(1),
                "i_valid": In(1),
                "i": In(signed(OUT_BITS)),
                "label": In(1),
                "activation": In(signed(self._edge_bits)),
                "o_valid": Out(1),
                "o": Out(signed(VALUE_BITS)),
                "clipped_activation": Out(1),
                "clipped_error": Out(1),
                "maximum": Out(signed(OUT_BITS)),
                "best": Out(LINE_BITS),
                "total": Out((MOST_CLASSES << EXP_FRAC).bit_length()),
                "squares": Out(LOSS_BITS),
                "table_write": In(table_layout(self._edge_bits)),
            }
        )

    @cached_property
    def _times(self) -> _Ways:
        # Elaborated on the side: the stages know, so that nothing is counted by hand.
        return self._ways(Module(), Const(0, self._bits))

    @property
    def latency(self) -> int:
        """Cycles from a result to what is made of it."""
        return self._times.o.time

    @property
    def activation_time(self) -> int:
        """Cycles from a result of a BELOW job to the activation of its line."""
        return self._times.activation.time

    @property
    def squares_latency(self) -> int:
        """Cycles from the last value of a SQUARED job until ``squares`` stands."""
        return self._times.square.time + self._squares.latency

    def elaborate(self, platform):
        m = Module()
        bits = min(self._bits, OUT_BITS)
        m.submodules.largest = largest = Largest(bits, (self._lines - 1).bit_length())
        m.submodules.half_squares = squares = self._squares
        func = self.job.func
        shares = delayed(m, func == Func.SHARE, "shares")
        squared = delayed(m, func == Func.SQUARED, "with_squares")
        new = delayed(m, (func == Func.VALUE) | (func == Func.SQUARED), "new_results")
        m.d.comb += [
            largest.start.eq(self.start),
            largest.valid.eq(self.i_valid & new),
            largest.i.eq(self.i),
            self.maximum.eq(largest.maximum),
            self.best.eq(largest.best),
        ]
        # A choice that ends in registers with a reset takes no LUT.
        base = delayed(m, Mux(shares, largest.maximum, 0), "base")
        ways = self._ways(m, (self.i[:bits].as_signed() - base)[: self._bits])
        m.d.comb += [
            self.o_valid.eq(strobe_after(m, self.i_valid, ways.o.time, "valid")),
            self.o.eq(ways.o.value),
            self.clipped_activation.eq(ways.clipped_activation.value),
            self.clipped_error.eq(ways.clipped_error.value),
            squares.start.eq(self.start & squared),
            squares.valid.eq(strobe_after(m, self.i_valid & squared, ways.square.time, "squared")),
            squares.square.eq(ways.square.value),
            squares.x_frac.eq(self.job.x_frac),
            self.squares.eq(squares.word),
        ]
        with m.If(self.start & shares):
            m.d.sync += self.total.eq(0)
        with m.Elif(self.o_valid & shares):
            m.d.sync += self.total.eq(self.total + self.o[:SHARE_BITS])
        return m

    def _ways(self, m: Module, exact: Value) -> _Ways:
        """Add the pipeline, from results to what goes out."""
        # Registers alone hold what waits: LUT RAM in their place takes 84 LUT4 for 17 flip-flops.
        pipe = Stages(m, Const(0), chains=True)
        choice = chosen(m, self.job, self._edge_bits)
        product = product_with(pipe, "scale", Timed(exact.as_signed(), 0), choice.mantissa)
        scaled = shift_rounded(pipe, "scale", product, choice.amount, GUARDED_BITS - 1)
        guarded, lost = scaled.saturated(pipe, "scale", "guarded", GUARDED_BITS)
        found = activation_of(pipe, choice, self.table_write, guarded, self._edge_bits)
        activation = Timed(self.activation, found.word.time - 1)
        slope = slope_of(pipe, choice, found.word, activation)
        square, exact_error = self._products(pipe, choice, guarded, found.value, slope)
        rounded = shift_rounded(pipe, "error", exact_error, choice.second, SHARE_BITS, DROPPED)
        over = pipe.stage(
            "error",
            "over",
            lambda value, lost, share: (beyond(value, self._edge_bits) | lost) & ~share,
            *(rounded.value, rounded.lost, choice.share),
        )
        top = (1 << (self._edge_bits - 1)) - 1

        def at_edge(value: Value, over: Value) -> Value:
            clipped = Mux(over, Mux(value[-1], -top, top), value)
            return clipped[:VALUE_BITS].as_signed()

        o = pipe.stage("error", "o", at_edge, rounded.value, over)
        # What guard bits lost is no loss where the slope is 0.
        cut = pipe.stage(
            "error",
            "cut",
            lambda lost, slope, below: lost & slope.any() & below,
            *(lost, slope, choice.below),
        )
        clipped_error = pipe.stage(
            "error", "clipped_error", lambda over, cut: over | cut, over, cut
        )
        clipped = Timed(pipe.at(found.clipped, o.time - 1), o.time - 1)
        clipped_activation = pipe.stage(
            "error",
            "clipped_activation",
            lambda clipped, output: clipped & output,
            *(clipped, choice.output),
        )
        return _Ways(o, clipped_activation, clipped_error, square, activation)

    def _products(
        self, pipe: Stages, choice: Choice, guarded: Timed, value: Timed, slope: Timed
    ) -> tuple[Timed, Timed]:
        """Return the square of what misses the target, and the exact second product.

        The product is that of two blocks, for an error below has `GUARD` bits more than a block
        takes; in a SQUARED job the second one squares.
        """
        early = Timed(pipe.at(Timed(self.label, 0), value.time - 1), value.time - 1)
        target = pipe.stage(
            "error",
            "target",
            lambda label, squared, one: Mux(label & squared, one, 0),
            *(early, choice.squared, choice.one),
        )
        miss = pipe.stage("error", "miss", lambda value, target: value - target, value, target)
        # All operands come with the slope; that of other jobs is 0, which costs a register's reset
        # where a choice would cost LUTs.
        time = slope.time

        def only(name: str, operand: Timed, job: Timed) -> Value:
            late = Timed(pipe.at(operand, time - 1), time - 1)
            shape = late.value.shape()
            return pipe.stage(
                "error", name, lambda late, job: Mux(job, late, Const(0, shape)), late, job
            ).value

        below, share = choice.below.value, choice.share.value
        error = only("error_below", guarded, choice.below)
        output = only("output", miss, choice.output)
        coarse, fine = exponential_of(pipe, choice, guarded, time)
        wide = Cat(output, output[-1].replicate(FACTOR_BITS - len(output)))
        high = pipe.product(
            "error",
            "high",
            Timed((error[GUARD:] | wide | coarse.value).as_signed(), time),
            Timed(Mux(share, fine.value, slope.value), time),
            block=True,
        )
        low = pipe.product(
            "error",
            "low",
            Timed(Cat(output[:GUARD] | error[:GUARD], output[GUARD:]).as_signed(), time),
            Timed(Mux(below, slope.value, output), time),
            block=True,
        )

        def total(high: Value, low: Value, below: Value) -> Value:
            carried = Mux(below, low[GUARD : GUARD + SLOPE_FRAC + 1], 0)
            return Cat(Mux(below, low[:GUARD], 0), (high + carried)[: len(high)]).as_signed()

        return low, pipe.stage("error", "exact", total, high, low, choice.below)

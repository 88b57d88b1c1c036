"""From the results of one array to what goes into the next: activations, errors, exponentials.

Twin of `ohmgrid.model.periphery.functions`; equations: `ohmgrid.model.core.core`, formats:
`ohmgrid.registers.layers`.

Each job is a way through the same pipeline, so that one second multiplier serves them all::

    SHARE adds -maximum           w = i * mantissa / 2**shift
    VALUE, SQUARED                a = f[w]
    SQUARED                       s = slope of a            error = (a - target) * s
    BELOW                         s = slope of activation   error = w * s
    SHARE                         share = coarse[-w] * fine[-w]
    VALUE                         a * 1.0

A table is odd around its middle value m (`ohmgrid.registers.layers.half_table`): it is stored from
there on, as ``c = a - m``, and a slope is that of the middle less ``c**2``:
``a (1 - a) = 1/4 - (a - 1/2)**2`` for sigmoid, ``1 - a**2`` for tanh.
"""

from collections.abc import Callable
from typing import NamedTuple

from amaranth.hdl import Array, Cat, Const, Module, Mux, Shape, Signal, Value, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ohmgrid.config import Config
from ohmgrid.hdl.base.arith import beyond, saturate
from ohmgrid.hdl.base.block_ram import BlockRam
from ohmgrid.hdl.base.pipeline import delayed, strobe_after
from ohmgrid.hdl.base.timed import Stages, Timed
from ohmgrid.hdl.periphery.scaling import product_with, shift_rounded
from ohmgrid.hdl.periphery.sums import HalfSquares, Largest
from ohmgrid.host.protocol import OUT_BITS
from ohmgrid.registers.layers import (
    ACTIVATIONS,
    EXP_FRAC,
    FINE_BITS,
    INDEX_SHIFT,
    LOSS_BITS,
    MOST_CLASSES,
    SCALE_BITS,
    SLOPE_FRAC,
    TABLE_SIZE,
    exp_tables,
)
from ohmgrid.registers.steps import Func

__all__ = ["LINEAR", "VALUE_BITS", "Functions", "function_layout", "table_layout"]

SIGMOID, TANH, RELU = (ACTIVATIONS.index(name) for name in ("sigmoid", "tanh", "relu"))
LINEAR = len(ACTIVATIONS)
"""Kind of an output without an activation."""
VALUE_BITS = 18
"""Width of what goes out: an edge value, or a share."""
SHARE_BITS = EXP_FRAC + 1
LINE_BITS = 16
RESULT_BITS = 36
"""Width of a result, and of the difference of two, where codes are multiplied with an input's
scale; below ``2**34`` each."""
GUARD = 4
"""Fraction bits of an error beyond ``d_frac`` before it meets the slope."""
GUARDED_BITS = 22
"""Width of a scaled result: of an error with guard bits, and beyond all tables and edges."""
FACTOR_BITS = 18
"""Width of a multiplier block's factor."""
CENTRED_FRAC = 15
"""Fraction bits of a value less the middle one, before it is squared."""
DROPPED = 10
"""Bits of a second product that each job shifts out."""
INDEX_BITS = (TABLE_SIZE - 1).bit_length()


def function_layout(config: Config) -> data.StructLayout:
    """Return the layout of a job.

    ``func``: `ohmgrid.registers.steps.Func`; ``kind``: place in `ACTIVATIONS`, or `LINEAR` (which
    stands for ReLU in a SQUARED job); ``mantissa``, ``shift``: the layer's scale, as of
    `ohmgrid.registers.layers.scale_registers`; ``x_frac``, ``d_frac``: fraction bits of
    activations and errors.
    """
    return data.StructLayout(
        {
            "func": Shape.cast(Func),
            "kind": range(LINEAR + 1),
            "mantissa": SCALE_BITS,
            "shift": 6,
            "x_frac": 4,
            "d_frac": 4,
        }
    )


def table_layout(config: Config) -> data.StructLayout:
    """Return the layout of a write to the activation's table.

    ``data`` at ``address``: an entry of `ohmgrid.registers.layers.half_table`.
    """
    bits = config.formats.edge_bits - 1
    return data.StructLayout({"en": 1, "address": range(TABLE_SIZE // 2), "data": bits})


class _Choice(NamedTuple):
    """What a job says, in registers of its own."""

    share: Timed
    below: Timed
    squared: Timed
    table: Timed
    """The activation has one."""
    relu: Timed
    mantissa: Timed
    amount: Timed
    """The scale's right shift, less one."""
    second: Timed
    """Right shift of the second product, less one and `DROPPED`."""
    stretch: Timed
    """Left shift of a centred value."""
    middle: Timed
    """Middle value of the table, 0 without one."""
    one: Timed
    """A target of 1.0."""
    steepest: Timed
    """The middle's slope is that of sigmoid, else 1.0."""
    curved: Timed
    """The slope depends on the value."""
    stepped: Timed
    """The slope is that of a ReLU."""


class _Ways(NamedTuple):
    """What the pipeline gives."""

    o: Timed
    clipped_activation: Timed
    clipped_error: Timed
    square: Timed
    """Low product of a SQUARED job."""
    activation_time: int


class Functions(wiring.Component):
    """What is done to the results of an array before they go to the edge of the next; a pipeline.

    One result a cycle, in order, `latency` cycles each, whatever the job.

    Parameters
    ----------
    config : Config

    Members
    -------
    job : In(function_layout(config))
        Constant from four cycles before the first value until the last one is out.
    start : In(1)
        Strobe, at least a cycle before the first value of a vector: ``total`` and ``squares`` are 0
        again, and, in a VALUE or SQUARED job, the next result is the largest so far.
    i_valid, i : In(1), In(signed(OUT_BITS))
        A result; from a register. Without `read_physics` it is below ``2**34``.
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
        after its last value. In a SHARE job the largest of its own results.
    total : Out(24)
        Sum of the shares since `start`, from the cycle after the last ``o_valid``.
    squares : Out(LOSS_BITS)
        Half the sum of squared misses since `start`, `squares_latency` cycles after the last value.
    table_write : In(table_layout(config))
        Never while values are in flight.

    Cost: five multiplier blocks, two block RAMs (one holds the activation, one the exponential's
    fine table).
    """

    def __init__(self, config: Config):
        self._edge_bits = config.formats.edge_bits
        self._bits = OUT_BITS + 1 if config.build.read_physics else RESULT_BITS
        self._lines = config.build.outputs
        self._squares = HalfSquares(self._edge_bits * 2, config.build.outputs)
        super().__init__(
            {
                "job": In(function_layout(config)),
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
                "table_write": In(table_layout(config)),
            }
        )

    @property
    def latency(self) -> int:
        """Cycles from a result to what is made of it."""
        # Elaborated on the side: the stages know, so that nothing is counted by hand.
        return self._ways(Module(), Const(0, self._bits)).o.time

    @property
    def activation_time(self) -> int:
        """Cycles from a result of a BELOW job to the activation of its line."""
        return self._ways(Module(), Const(0, self._bits)).activation_time

    @property
    def squares_latency(self) -> int:
        """Cycles from the last value of a SQUARED job until ``squares`` stands."""
        return self._ways(Module(), Const(0, self._bits)).square.time + self._squares.latency

    def elaborate(self, platform):
        m = Module()
        bits = min(self._bits, OUT_BITS)
        m.submodules.largest = largest = Largest(bits, (self._lines - 1).bit_length())
        m.submodules.half_squares = squares = self._squares
        shares, squaring = (
            delayed(m, self.job.func == func, f"is_{func.name.lower()}")
            for func in (Func.SHARE, Func.SQUARED)
        )
        new = (self.job.func == Func.VALUE) | (self.job.func == Func.SQUARED)
        new = delayed(m, new, "new_results")
        m.d.comb += [
            largest.start.eq(self.start & new),
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
            squares.start.eq(self.start),
            squares.valid.eq(strobe_after(m, self.i_valid & squaring, ways.square.time, "squared")),
            squares.square.eq(ways.square.value),
            squares.x_frac.eq(self.job.x_frac),
            self.squares.eq(squares.word),
        ]
        with m.If(self.start):
            m.d.sync += self.total.eq(0)
        with m.Elif(self.o_valid & shares):
            m.d.sync += self.total.eq(self.total + self.o[:SHARE_BITS])
        return m

    def _choice(self, m: Module) -> _Choice:
        """Decode the job, to registers."""
        job, top = self.job, (1 << (self._edge_bits - 1)) - 1
        func, kind, x_frac = job.func, job.kind, job.x_frac
        share, below, squared = (func == f for f in (Func.SHARE, Func.BELOW, Func.SQUARED))
        table, sigmoid = kind < RELU, kind == SIGMOID
        # 8 to 15 fraction bits.
        one = Cat(Const(0, 8), Const(1, 1) << x_frac[:3])
        # To the left by GUARD, as all second products are: that of BELOW has so many bits more.
        second = Mux(
            squared,
            x_frac - job.d_frac + (SLOPE_FRAC + GUARD - 1 - DROPPED),
            Mux(share, EXP_FRAC, SLOPE_FRAC) + (GUARD - 1 - DROPPED),
        )
        fields = {
            "share": share,
            "below": below,
            "squared": squared,
            "table": table,
            "relu": kind == RELU,
            "mantissa": job.mantissa,
            "amount": (job.shift - 1)[:6],
            "second": second[:5],
            "stretch": ~x_frac[:3],
            "middle": Mux(sigmoid, one >> 1, 0)[: self._edge_bits - 1],
            "one": Mux(x_frac >= self._edge_bits - 1, top, one)[: self._edge_bits - 1],
            "steepest": sigmoid & (below | squared),
            "curved": table & (below | squared),
            "stepped": (kind == RELU) & below,
        }
        return _Choice(
            **{
                name: Timed(delayed(m, value, f"job_{name}"), 0, held=True)
                for name, value in fields.items()
            }
        )

    def _ways(self, m: Module, exact: Value) -> _Ways:
        """Add the pipeline, from results to what goes out."""
        # Registers alone hold what waits: LUT RAM for it would take a tenth of all LUTs.
        pipe = Stages(m, Const(0), chains=True)
        choice = self._choice(m)
        product = product_with(pipe, "scale", Timed(exact.as_signed(), 0), choice.mantissa)
        scaled = shift_rounded(pipe, "scale", product, choice.amount, GUARDED_BITS - 1)
        guarded, lost = scaled.saturated(pipe, "scale", "guarded", GUARDED_BITS)
        value, word, clipped = self._activation(pipe, choice, guarded)
        target = pipe.stage(
            "activations",
            "target",
            lambda label, squared, one: Mux(label & squared, one, 0),
            Timed(pipe.at(Timed(self.label, 0), value.time - 1), value.time - 1),
            choice.squared,
            choice.one,
        )
        miss = pipe.stage(
            "activations", "miss", lambda value, target: value - target, value, target
        )
        slope, activation_time = self._slope(pipe, choice, word)
        # Operands meet when the slope is there; a register that is reset in the other jobs costs no
        # LUT for the choice between them.
        time = slope.time
        coarse, fine = self._exponential(pipe, choice.share, guarded, time)

        def only(name: str, value: Timed, chosen: Callable[[_Choice], Value]) -> Value:
            """Return a value at that time, 0 but in some jobs."""
            late = Timed(pipe.at(value, time - 1), time - 1)
            shape = late.value.shape()
            return pipe.stage(
                "error", name, lambda late: Mux(chosen(choice), late, Const(0, shape)), late
            ).value

        above = only("guarded", guarded, lambda choice: choice.below.value)
        miss_only = only("miss", miss, lambda choice: ~choice.below.value & ~choice.share.value)
        signs = miss_only[-1].replicate(FACTOR_BITS - len(miss_only))
        wide = Cat(miss_only, signs)
        high = pipe.product(
            "error",
            "high",
            Timed((above[GUARD:] | wide | coarse.value).as_signed(), time),
            Timed(Mux(choice.share.value, fine.value, slope.value), time),
            block=True,
        )
        low = pipe.product(
            "error",
            "low",
            Timed(Cat(miss_only[:GUARD] | above[:GUARD], miss_only[GUARD:]).as_signed(), time),
            Timed(Mux(choice.below.value, slope.value, miss_only), time),
            block=True,
        )

        def total(high: Value, low: Value, below: Value) -> Value:
            carried = Mux(below, low[GUARD : GUARD + SLOPE_FRAC + 1], 0)
            return Cat(Mux(below, low[:GUARD], 0), (high + carried)[: len(high)]).as_signed()

        exact_error = pipe.stage("error", "exact", total, high, low, choice.below)
        rounded = shift_rounded(pipe, "error", exact_error, choice.second, SHARE_BITS, DROPPED)
        over = pipe.stage(
            "error",
            "over",
            lambda value, lost, share: (beyond(value, self._edge_bits) | lost) & ~share,
            rounded.value,
            rounded.lost,
            choice.share,
        )
        top = (1 << (self._edge_bits - 1)) - 1
        o = pipe.stage(
            "error",
            "o",
            lambda value, over: Mux(over, Mux(value[-1], -top, top), value)[
                :VALUE_BITS
            ].as_signed(),
            rounded.value,
            over,
        )
        cut = pipe.stage(
            "error",
            "cut",
            lambda lost, slope, below: lost & slope.any() & below,
            lost,
            slope,
            choice.below,
        )
        clipped_error = pipe.stage("error", "clipped", lambda over, cut: over | cut, over, cut)
        clipped = pipe.stage(
            "activations",
            "clipped_value",
            lambda clipped, share, below: clipped & ~share & ~below,
            clipped,
            choice.share,
            choice.below,
        )
        clipped = Timed(pipe.at(clipped, o.time), o.time)
        return _Ways(o, clipped, clipped_error, low, activation_time)

    def _activation(
        self, pipe: Stages, choice: _Choice, scaled: Timed
    ) -> tuple[Timed, Timed, Timed]:
        """Return the activation, the word of its table, and whether an edge clipped it."""
        m, bits = pipe.m, self._edge_bits

        def entry(scaled: Value) -> Value:
            """Place in the half table: below the middle the same from the other side."""
            index, sign = scaled[INDEX_SHIFT:], scaled[-1]
            far = (index[INDEX_BITS - 1 : -1] ^ sign.replicate(len(index) - INDEX_BITS)).any()
            folded = index[: INDEX_BITS - 1] ^ sign.replicate(INDEX_BITS - 1)
            return folded | far.replicate(INDEX_BITS - 1)

        place = pipe.stage("activations", "entry", entry, scaled)
        m.submodules.table = table = BlockRam(bits - 1, TABLE_SIZE // 2)
        write = Signal.like(self.table_write)
        m.d.sync += write.eq(self.table_write)
        m.d.comb += [
            table.write.eq(write.en),
            table.write_address.eq(write.address),
            table.data.eq(write.data),
            table.read0.eq(1),
            table.address0.eq(place.value),
        ]
        word = Timed(table.o0, place.time + table.latency)
        clipped = pipe.stage(
            "activations",
            "clipped",
            lambda scaled, table, relu: beyond(scaled, bits) & ~table & ~(relu & scaled[-1]),
            scaled,
            choice.table,
            choice.relu,
        )
        direct = pipe.stage(
            "activations",
            "direct",
            lambda scaled, clipped, relu: Mux(
                relu & scaled[-1], 0, saturate(scaled, bits, clipped)
            ),
            scaled,
            clipped,
            choice.relu,
        )

        def value(word: Value, direct: Value, scaled: Value, table: Value, middle: Value) -> Value:
            sign = scaled[-1]
            found = Cat(word ^ sign.replicate(len(word)), sign).as_signed()
            # The carry comes from a bit below.
            total = Cat(Const(1, 1), Mux(table, found, direct)) + Cat(table & sign, middle)
            return total[1 : 1 + bits].as_signed()

        operands = (word, direct, scaled, choice.table, choice.middle)
        return pipe.stage("activations", "value", value, *operands), word, clipped

    def _slope(self, pipe: Stages, choice: _Choice, word: Timed) -> tuple[Timed, int]:
        """Return the slope, of a word of the table or of an activation, and the activation's time.

        ``slope = middle slope - rint(centred**2)``: the middle's is an even number, so that ties go
        the same way in either.
        """
        activation = Timed(self.activation, word.time - 1)
        bits = CENTRED_FRAC + 1
        centred = pipe.stage(
            "slopes",
            "centred",
            lambda activation, middle: (activation - middle)[:bits].as_signed(),
            activation,
            choice.middle,
        )

        def stretched(centred: Value, word: Value, below: Value, stretch: Value) -> Value:
            chosen = Mux(below, centred, word)
            return Mux(stretch[2], chosen << 4, chosen)[:bits].as_signed()

        operands = (centred, word, choice.below, choice.stretch)
        wide = pipe.stage("slopes", "wide", stretched, *operands)
        wide = pipe.stage(
            "slopes",
            "centred_value",
            lambda wide, stretch, curved: Mux(curved, (wide << stretch[:2])[:bits].as_signed(), 0),
            wide,
            choice.stretch,
            choice.curved,
        )
        square = pipe.product("slopes", "square", wide, wide, block=True)
        shift = 2 * CENTRED_FRAC - SLOPE_FRAC
        up = pipe.stage(
            "slopes",
            "up",
            lambda square: square[shift - 1] & (square[: shift - 1].any() | square[shift]),
            square,
        )
        off = pipe.stage("slopes", "off", lambda activation: activation <= 0, activation)

        def less(square: Value, up: Value, off: Value, steepest: Value, stepped: Value) -> Value:
            """``middle - square - up`` by one adder: its carry comes from a bit below."""
            flat = ~(steepest | (stepped & off))
            middle = Cat(Const(0, SLOPE_FRAC - 2), steepest, Const(0, 1), flat)
            taken = square[shift : shift + len(middle)]
            return (Cat(Const(0, 1), middle) - Cat(up, taken))[1 : 1 + len(middle)]

        slope = pipe.stage(
            "slopes", "slope", less, square, up, off, choice.steepest, choice.stepped
        )
        return slope, activation.time

    def _exponential(
        self, pipe: Stages, share: Timed, scaled: Timed, time: int
    ) -> tuple[Timed, Timed]:
        """Return the entries of the coarse (0 in other jobs) and the fine table, at a time."""
        started = Timed(pipe.at(scaled, time - 4), time - 4)
        half = 1 << (INDEX_SHIFT - 1)
        # Distances are below 0 here.
        near = pipe.stage("exponential", "near", lambda scaled: half - scaled, started)

        def index(near: Value) -> Value:
            place, far = near[INDEX_SHIFT:][:INDEX_BITS], near[INDEX_SHIFT + INDEX_BITS :].any()
            return place | far.replicate(INDEX_BITS)

        place = pipe.stage("exponential", "index", index, near)
        tables = exp_tables()
        fine = Memory(shape=unsigned(SHARE_BITS), depth=1 << FINE_BITS, init=tables.fine)
        word = pipe.read("exponential", "fine", fine, place.slice(0, FINE_BITS))
        coarse = Array(Const(entry, SHARE_BITS) for entry in tables.coarse)
        upper = Timed(pipe.at(place.slice(FINE_BITS, INDEX_BITS), time - 1), time - 1)
        high = pipe.stage(
            "exponential",
            "coarse",
            lambda upper, share: Mux(share, coarse[upper], 0),
            upper,
            share,
        )
        return high, word

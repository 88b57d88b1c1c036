"""From two vectors and a learning rate to pulse trains: twin of `ohmgrid.model.periphery.pulses`.

`Planner` chooses the bit length and both probability scales, once an update; two
`ohmgrid.hdl.periphery.converters.Scaler` passes make the probabilities; a `TrainMaker` for the
columns and one for the rows turn each into a word of 31 slots.
"""

from collections.abc import Iterable

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ohmgrid.config import PULSE_TYPES, SLOTS
from ohmgrid.doors.checks import check_int
from ohmgrid.hdl.base.arith import SquareRoot, shift_round
from ohmgrid.hdl.base.noise import LineKey
from ohmgrid.hdl.base.pipeline import delayed
from ohmgrid.hdl.base.products import SoftProduct
from ohmgrid.registers.edge import FACTOR_BITS
from ohmgrid.registers.noise import KEY_BITS, Purpose

__all__ = ["LINE", "TRAIN", "Planner", "TrainMaker"]

BL_BITS = 5
"""Width of a bit length, 0..31."""
PROBABILITY_BITS = 17
"""Width of a probability: 65536 fires in every slot."""
RATE_BITS = 18
"""Width of the learning rate's mantissa."""
QUOTIENT_BITS = 33
"""Width of the square of a probability scale: 2**32 is one."""
STOCHASTIC, MEAN_COUNT = (
    PULSE_TYPES.index(name) for name in ("stochastic-compressed", "mean-count")
)

LINE = data.StructLayout({"index": 16, "probability": PROBABILITY_BITS})
"""What a `TrainMaker` takes."""
TRAIN = data.StructLayout({"index": 16, "word": SLOTS})
"""What it gives: bit s of the word is set where slot s fires."""


class Planner(wiring.Component):
    """Chooses bit length and probability scales of an update: `model.periphery.pulses.plan_update`.

    With management, for ``k = min(x_max d_max rate >> rate_shift, 2**32 - 1)``, ``D`` the desired
    bit length and ``q = isqrt((k << 16) / bl)``::

        k <= D << 16:  bl = ceil(k / 2**16) or D   factors q and q
        k >  D << 16:  bl = D                      factors 65536 and min(k / D, 2**22 - 1)

    One bit a cycle, no DSP block: `done` is high for one cycle, `cycles` cycles after `start`; the
    plan stays until the next start.

    Parameters
    ----------
    edge_bits : int
        Width of a value at the tile's edge.

    Members
    -------
    start : ``In(1)``
        Strobe; all other inputs are constant from it to `done`.
    x_one, d_one : ``In(edge_bits)``
        1.0 as an activation and as an error: divisors without management.
    x_max, d_max : ``In(edge_bits - 1)``
        Largest magnitudes of both vectors.
    managed, bl_managed : ``In(1)``
        Update management; bit-length management (which needs the former).
    desired_bl : ``In(5)``
        >= 1.
    rate, rate_shift, fixed_bl, factor : ``In(18)``, ``In(6)``, ``In(5)``, ``In(22)``
        `ohmgrid.registers.edge.PulseRegisters`; ``fixed_bl`` (its ``bl``) counts without
        management.
    done : ``Out(1)``
        Strobe.
    bl : ``Out(5)``
    x_factor, d_factor : ``Out(22)``
    x_divisor, d_divisor : ``Out(edge_bits)``
    """

    def __init__(self, edge_bits: int = 16):
        check_int("edge_bits", edge_bits, 2, RATE_BITS + 1)
        super().__init__(
            {
                "start": In(1),
                "x_max": In(edge_bits - 1),
                "d_max": In(edge_bits - 1),
                "x_one": In(edge_bits),
                "d_one": In(edge_bits),
                "managed": In(1),
                "bl_managed": In(1),
                "desired_bl": In(BL_BITS),
                "rate": In(RATE_BITS),
                "rate_shift": In(6),
                "fixed_bl": In(BL_BITS),
                "factor": In(FACTOR_BITS),
                "done": Out(1),
                "bl": Out(BL_BITS),
                "x_factor": Out(FACTOR_BITS),
                "x_divisor": Out(edge_bits),
                "d_factor": Out(FACTOR_BITS),
                "d_divisor": Out(edge_bits),
            }
        )
        self._root = SquareRoot(QUOTIENT_BITS)

    def cycles(self, rate_shift: int, trivial: bool = False) -> int:
        """Return the cycles from `start` to `done`.

        Parameters
        ----------
        rate_shift : int
        trivial : bool
            Nothing to compute: no management, or a vector of zeros.
        """
        if trivial:
            return 2
        # Begin, two products, the shift and a decision, a quotient, its root and the result.
        return len(self.x_max) + RATE_BITS + rate_shift + 2 + QUOTIENT_BITS + self._root.cycles + 2

    def elaborate(self, platform):
        m = Module()
        m.submodules.root = root = self._root
        bits = len(self.x_max)
        # `word` is, in turn, a product above its multiplier, and a quotient below its dividend.
        word = Signal(max(2 * bits + RATE_BITS, QUOTIENT_BITS), reset_less=True)
        held = Signal(2 * bits, reset_less=True)
        count = Signal(6, reset_less=True)
        rest = Signal(BL_BITS, reset_less=True)
        over, beyond, begin = Signal(reset_less=True), Signal(reset_less=True), Signal()
        common = Signal(FACTOR_BITS, reset_less=True)
        no_divisors = [self.x_divisor.eq(1), self.d_divisor.eq(1)]

        adding, added = Signal(), Signal.like(word)
        addend = Mux(adding & word[0], held, 0)
        m.d.comb += added.eq(Cat(word[1:RATE_BITS], word[RATE_BITS:] + addend))

        # The dividend is k, or k << 16: then a quotient by bl > k >> 17 starts with its bit 16.
        bit = Mux(over, word[QUOTIENT_BITS - 1], word[16] & (count >= 16))
        longer = Cat(bit, rest)
        difference = Signal(signed(BL_BITS + 2))
        fits = ~difference[-1]
        stretched = word[:FACTOR_BITS] | (beyond | word[FACTOR_BITS:QUOTIENT_BITS].any()).replicate(
            FACTOR_BITS
        )
        m.d.comb += [
            difference.eq(longer - self.bl),
            root.value.eq(word[:QUOTIENT_BITS]),
            self.x_factor.eq(Mux(over, 1 << 16, common)),
            self.d_factor.eq(common),
        ]

        above = Signal()
        m.d.comb += above.eq(word > Cat(Const(0, 16), self.desired_bl))
        # What decides comes from registers; the word is still while its root is taken.
        zero = delayed(m, (self.x_max == 0) | (self.d_max == 0), "zero")
        none = delayed(m, self.bl == 0, "none")
        stretched = delayed(m, stretched, "stretched")
        m.d.sync += [begin.eq(self.start), self.done.eq(0), count.eq(count - 1)]
        with m.FSM():
            with m.State("IDLE"):
                m.d.sync += count.eq(bits - 1)
                with m.If(begin):
                    m.d.sync += [
                        word.eq(self.d_max),
                        held.eq(self.x_max),
                        over.eq(0),
                        self.bl.eq(Mux(zero, 0, self.fixed_bl)),
                        common.eq(Mux(zero, 0, self.factor)),
                        self.x_divisor.eq(Mux(self.managed, self.x_max, self.x_one)),
                        self.d_divisor.eq(Mux(self.managed, self.d_max, self.d_one)),
                    ]
                    with m.If(zero):
                        m.d.sync += no_divisors
                    with m.If(~zero & self.managed):
                        m.next = "FIRST PRODUCT"
                    with m.Else():
                        m.d.sync += self.done.eq(1)
            with m.State("FIRST PRODUCT"):
                m.d.comb += adding.eq(1)
                m.d.sync += word.eq(added)
                with m.If(count == 0):
                    m.d.sync += [
                        held.eq(added[RATE_BITS - bits :]),
                        word.eq(self.rate),
                        count.eq(RATE_BITS - 1),
                    ]
                    m.next = "SECOND PRODUCT"
            with m.State("SECOND PRODUCT"):
                m.d.comb += adding.eq(1)
                m.d.sync += word.eq(added)
                with m.If(count == 0):
                    m.d.sync += count.eq(self.rate_shift)
                    m.next = "SHIFT"
            with m.State("SHIFT"):
                with m.If(count == 0):
                    m.d.sync += [
                        over.eq(above),
                        beyond.eq(word[32:].any()),
                        rest.eq(Mux(above, 0, word[17:21])),
                        count.eq(QUOTIENT_BITS - 1),
                    ]
                    pulses = word[16:21] + word[:16].any()
                    m.d.sync += self.bl.eq(Mux(self.bl_managed & ~above, pulses, self.desired_bl))
                    m.next = "QUOTIENT"
                with m.Else():
                    m.d.sync += word.eq(added)
            with m.State("QUOTIENT"):
                m.d.sync += [
                    word.eq(Cat(fits, word[: QUOTIENT_BITS - 1])),
                    rest.eq(Mux(fits, difference, longer)),
                ]
                with m.If(count == 0):
                    m.next = "START ROOT"
            with m.State("START ROOT"):
                m.d.comb += root.start.eq(1)
                m.next = "ROOT"
            with m.State("ROOT"):
                with m.If(root.done):
                    m.d.sync += [
                        self.done.eq(1),
                        common.eq(Mux(none, 0, Mux(over, stretched, root.root))),
                    ]
                    with m.If(none):
                        m.d.sync += no_divisors
                    m.next = "IDLE"
        return m


class TrainMaker(wiring.Component):
    """Turns firing probabilities into pulse trains: `column_trains` or `row_trains` of the model.

    A line takes `steps` cycles, one after the other without gaps; its train comes `latency` cycles
    after the last of them begins. Stochastic trains are hashed, ``4 * groups`` slots a cycle; a
    deterministic train takes one cycle on a column (a thermometer) and one for each slot on a row
    (Bresenham's line: slot s fires where ``rint(n m / BL)`` or ``rint(p m)`` grows from m = s to
    s + 1). A line that cannot fire takes one cycle.

    Parameters
    ----------
    groups : int
        Line keys made in a cycle, four slots each.

    Members
    -------
    i : ``In(stream.Signature(LINE))``
    key : ``In(64)``
        Operation key. All four are constant while lines are in flight.
    row : ``In(1)``
        Lines are rows (errors), not columns (activations).
    bl : ``In(5)``
        Slots used, 0..31.
    mode : ``In(2)``
        Index of the pulse type in `ohmgrid.config.PULSE_TYPES`.
    o : ``Out(stream.Signature(TRAIN, always_ready=True))``

    Cost: about 610 LUT4 a group for its line keys and 540 (iCE40: 380) beside them.
    """

    def __init__(self, groups: int = 2):
        check_int("groups", groups, 1, 8)
        self._slots = 4 * groups
        self._keys = [LineKey() for _ in range(groups)]
        self._product = SoftProduct(PROBABILITY_BITS, BL_BITS, additions=2)
        # Deterministic trains need a cycle each for their count and their first slot.
        self._depth = max(self._keys[0].latency, self._product.latency + 2)
        super().__init__(
            {
                "i": In(stream.Signature(LINE)),
                "key": In(KEY_BITS),
                "row": In(1),
                "bl": In(BL_BITS),
                "mode": In(2),
                "o": Out(stream.Signature(TRAIN, always_ready=True)),
            }
        )

    @property
    def latency(self) -> int:
        """Cycles from the transfer of a line of one step to its train."""
        return self._depth + 3

    def steps(self, probability: int, bl: int, mode: int, row: bool) -> int:
        """Return the cycles that a line takes."""
        if probability == 0 or bl == 0:
            return 1
        if mode == STOCHASTIC:
            return -(-bl // self._slots)
        return bl if row else 1

    def cycles(self, probabilities: Iterable[int], bl: int, mode: int, row: bool) -> int:
        """Return the cycles from the first transfer to the last train, if input never waits."""
        steps = [self.steps(probability, bl, mode, row) for probability in probabilities]
        return sum(steps) - 1 + self.latency

    def elaborate(self, platform):
        m = Module()
        line, busy = Signal(LINE, reset_less=True), Signal()
        possible = Signal(reset_less=True)
        step, last_step = Signal(BL_BITS, reset_less=True), Signal(BL_BITS)
        last = busy & (step == last_step)
        # Settings are constant: what follows from them comes from registers, in time for a line.
        stochastic, row = delayed(m, self.mode == STOCHASTIC, "stochastic"), self.row
        groups = sum((self.bl > n for n in range(self._slots, SLOTS, self._slots)), Const(0))
        slots = Mux(row, self.bl - self.bl.any(), 0)
        longest = delayed(m, Mux(self.mode == STOCHASTIC, groups, slots)[:BL_BITS], "longest")
        m.d.comb += last_step.eq(Mux(possible, longest, 0))
        m.d.comb += self.i.ready.eq(~busy | last)
        m.d.sync += step.eq(step + 1)
        with m.If(self.i.ready):
            m.d.sync += [
                busy.eq(self.i.valid),
                line.eq(self.i.payload),
                possible.eq(self.i.payload.probability != 0),
                step.eq(0),
            ]

        fields = self._fields(m, line.index, busy, step)
        # One cycle before the hashes: where in the word this step's slots lie.
        number = self._number(m, line.probability)
        step = delayed(m, step, "step", self._depth - 1)
        first = delayed(m, step == 0, "first", 2)
        places, limit = [], Mux(stochastic | row, self.bl, number[:BL_BITS])
        for slot in range(SLOTS):
            hashed = step == slot // self._slots
            # A thermometer on columns: every slot below the count.
            here = Mux(stochastic, hashed, ~row | (step == slot))
            places.append(here & (limit > slot))
        places = delayed(m, Cat(places), "places", 2)
        fixed = self._grows(m, number, step == 0) | ~row
        threshold = delayed(m, number, "threshold")
        fires = Cat(Mux(stochastic, field < threshold, fixed) for field in fields)
        fires = delayed(m, fires, "fires")

        word = Signal(SLOTS, reset_less=True)
        new = Cat(fires[slot % self._slots] & places[slot] for slot in range(SLOTS))
        m.d.sync += word.eq(new | Mux(first, 0, word))
        m.d.comb += [
            self.o.payload.word.eq(word),
            self.o.payload.index.eq(delayed(m, line.index, "index", self._depth + 2)),
        ]
        ending = Signal(self._depth + 2)
        m.d.sync += ending.eq(Cat(last, ending))
        m.d.comb += self.o.valid.eq(ending[-1])
        return m

    def _fields(self, m: Module, index: Value, valid: Value, step: Value) -> list[Value]:
        """Return the 16-bit uniform numbers of a step's slots, `_depth` cycles later."""
        fields = []
        for n, key in enumerate(self._keys):
            m.submodules[f"key{n}"] = key
            m.d.comb += [
                key.key.eq(self.key),
                key.index.eq(index),
                key.sub.eq(step * len(self._keys) + n),
                key.purpose.eq(Mux(self.row, Purpose.TRAIN_D, Purpose.TRAIN_X)),
                key.i_valid.eq(valid),
            ]
            late = delayed(m, key.o, f"late{n}", self._depth - key.latency)
            fields += [late.word_select(slot, 16) for slot in range(4)]
        return fields

    def _number(self, m: Module, probability: Value) -> Value:
        """Return what a train is made of, ``_depth - 1`` cycles later: the probability, or a count.

        The count is ``rint(BL p)``; a row's deterministic-implicit train needs the probability.
        """
        m.submodules.product = product = self._product
        m.d.comb += [product.a.eq(probability), product.b.eq(self.bl)]
        counted = (self.mode == MEAN_COUNT) | (~self.row & (self.mode != STOCHASTIC))
        early = delayed(m, probability, "probability", product.latency)
        number = Mux(counted, shift_round(product.o, 16), early)[:PROBABILITY_BITS]
        return delayed(m, number, "number", self._depth - 1 - product.latency)

    def _grows(self, m: Module, number: Value, first: Value) -> Value:
        """Return, a cycle later, whether the rounded product ``rint(number m / den)`` has grown.

        ``den`` is BL (mean-count) or 65536. Only the floor's remainder and parity are kept; the
        product is odd where parity and rounding differ, and it grows by 0 or 1.
        """
        rest, odd = Signal(16, reset_less=True), Signal(reset_less=True)
        counting = self.mode == MEAN_COUNT
        total = Mux(first, 0, rest) + number
        small = Signal(signed(BL_BITS + 2))
        m.d.comb += small.eq(total[: BL_BITS + 1] - self.bl)
        wraps = Mux(counting, ~small[-1], total[16])
        m.d.sync += [
            rest.eq(Mux(counting & wraps, small, total)),
            odd.eq(Mux(first, 0, odd) ^ wraps),
        ]
        # An odd floor goes up at a tie too: 2 rest + 1 > den.
        half_passed = rest[15] & (rest[:15].any() | odd)
        up = Mux(counting, Cat(odd, rest[:BL_BITS]) > self.bl, half_passed)
        after = odd ^ up
        return after ^ (delayed(m, after, "before") & ~delayed(m, first, "fresh"))

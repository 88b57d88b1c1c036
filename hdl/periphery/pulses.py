"""From two vectors and a learning rate to pulse trains: twin of `ohmgrid.model.periphery.pulses`.

`Planner` chooses the bit length and both probability scales, once an update; two
`ohmgrid.hdl.periphery.converters.Scaler` passes make the probabilities; a `TrainMaker` for the
columns and one for the rows turn each into words of 31 slots, a chunk of the train each.
"""

from collections.abc import Iterable

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ohmgrid.doors.checks import check_int
from ohmgrid.hdl.base.arith import SquareRoot, shift_round
from ohmgrid.hdl.base.noise import LineKey
from ohmgrid.hdl.base.pipeline import delayed
from ohmgrid.hdl.base.products import SoftProduct
from ohmgrid.periphery import PULSE_TYPES, SLOTS
from ohmgrid.registers.edge import BL_BITS, FACTOR_BITS, RATE_BITS
from ohmgrid.registers.noise import KEY_BITS, Purpose

__all__ = ["LINE", "TRAIN", "Planner", "TrainMaker"]

PROBABILITY_BITS = 17
"""Width of a probability: 65536 fires in every slot."""
QUOTIENT_BITS = 33
"""Width of the square of a probability scale: 2**32 is one."""
STOCHASTIC, MEAN_COUNT = (
    PULSE_TYPES.index(name) for name in ("stochastic-compressed", "mean-count")
)

SUB_BITS = 3
"""Bits of a sub key within a chunk: eight line keys, four slots each."""
CHUNKS = -(-((1 << BL_BITS) - 1) // SLOTS)
"""Chunks of the longest train."""

LINE = data.StructLayout({"index": 16, "sign": 1, "probability": PROBABILITY_BITS})
"""What a `TrainMaker` takes; the sign is handed through."""
TRAIN = data.StructLayout({"index": 16, "sign": 1, "word": SLOTS})
"""What it gives: bit k of the word is set where slot ``31 chunk + k`` fires."""


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
    desired_bl : ``In(7)``
        >= 1.
    rate, rate_shift, fixed_bl, factor : ``In(18)``, ``In(6)``, ``In(7)``, ``In(22)``
        `ohmgrid.registers.edge.PulseRegisters`; ``fixed_bl`` (its ``bl``) counts without
        management.
    done : ``Out(1)``
        Strobe.
    below : ``Out(1)``
        ``k < 2**16``, and no vector is 0: the largest pair asks for less than one pulse.
    bl : ``Out(7)``
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
                "below": Out(1),
                "bl": Out(BL_BITS),
                "x_factor": Out(FACTOR_BITS),
                "x_divisor": Out(edge_bits),
                "d_factor": Out(FACTOR_BITS),
                "d_divisor": Out(edge_bits),
            }
        )
        self._root = SquareRoot(QUOTIENT_BITS)

    def cycles(self, rate_shift: int, zero: bool = False, managed: bool = True) -> int:
        """Return the cycles from `start` to `done`.

        Parameters
        ----------
        rate_shift : int
        zero : bool
            A vector is 0.
        managed : bool
        """
        if zero:
            return 2
        # Begin, two products, the shift and a decision, a quotient, its root and the result.
        expected = 1 + len(self.x_max) + RATE_BITS + rate_shift + 2
        return expected + (QUOTIENT_BITS + self._root.cycles + 1 if managed else 0)

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
        # More than so many times 2**16: a whole comparison would be as long as the word.
        part = word[:16].any()
        m.d.comb += above.eq(
            word[16 + BL_BITS :].any()
            | (Cat(part, word[16 : 16 + BL_BITS]) > Cat(Const(0, 1), self.desired_bl))
        )
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
                    m.d.sync += self.below.eq(0)
                    with m.If(zero):
                        m.d.sync += [*no_divisors, self.done.eq(1)]
                    with m.Else():
                        m.next = "FIRST PRODUCT"
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
                    m.d.sync += self.below.eq(~word[16:].any())
                    pulses = word[16 : 16 + BL_BITS] + part
                    # Without management, k is for counters alone.
                    with m.If(self.managed):
                        m.d.sync += [
                            over.eq(above),
                            beyond.eq(word[32:].any()),
                            rest.eq(Mux(above, 0, word[17 : 16 + BL_BITS])),
                            count.eq(QUOTIENT_BITS - 1),
                            self.bl.eq(Mux(self.bl_managed & ~above, pulses, self.desired_bl)),
                        ]
                        m.next = "QUOTIENT"
                    with m.Else():
                        m.d.sync += self.done.eq(1)
                        m.next = "IDLE"
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

    It makes the word of one chunk, 31 slots of the train. A line takes `steps` cycles, one after
    the other without gaps; its word comes `latency` cycles after the last of them begins.
    Stochastic trains are hashed, ``4 * groups`` slots a cycle, with sub keys from ``8 chunk`` on; a
    deterministic train takes one cycle on a column (a thermometer) and on a row one for each slot
    from the train's first to the chunk's last (Bresenham's line: slot s fires where
    ``rint(n m / BL)`` or ``rint(p m)`` grows from m = s to s + 1). A line that cannot fire, and a
    chunk beyond the train, take one cycle.

    Parameters
    ----------
    groups : int
        Line keys made in a cycle, four slots each.
    counted : bool
        Make all trains, not stochastic ones alone.

    Members
    -------
    i : ``In(stream.Signature(LINE))``
    key : ``In(64)``
        Operation key. All five are constant while lines are in flight, and from two cycles before.
    row : ``In(1)``
        Lines are rows (errors), not columns (activations).
    bl : ``In(7)``
        Slots used, of the whole train, 0..127.
    chunk : ``In(3)``
        Number of the chunk, 0..4.
    mode : ``In(2)``
        Index of the pulse type in `ohmgrid.config.PULSE_TYPES`.
    o : ``Out(stream.Signature(TRAIN, always_ready=True))``

    Cost: about 610 LUT4 a group for its line keys and 700 (iCE40: 500) beside them, less without
    ``counted``.
    """

    def __init__(self, groups: int = 2, counted: bool = True):
        check_int("groups", groups, 1, 8)
        self._counted = counted
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
                "chunk": In(range(CHUNKS)),
                "mode": In(2),
                "o": Out(stream.Signature(TRAIN, always_ready=True)),
            }
        )

    @property
    def latency(self) -> int:
        """Cycles from the transfer of a line of one step to its train."""
        return self._depth + 3

    def steps(self, probability: int, bl: int, mode: int, row: bool, chunk: int = 0) -> int:
        """Return the cycles that a line takes."""
        first, last = SLOTS * chunk, min(SLOTS * (chunk + 1), bl)
        if probability == 0 or last <= first:
            return 1
        if mode == STOCHASTIC:
            return -(-(last - first) // self._slots)
        return last if row else 1

    def cycles(
        self, probabilities: Iterable[int], bl: int, mode: int, row: bool, chunk: int = 0
    ) -> int:
        """Return the cycles from the first transfer to the last word, if input never waits."""
        steps = [self.steps(probability, bl, mode, row, chunk) for probability in probabilities]
        return sum(steps) - 1 + self.latency

    def elaborate(self, platform):
        m = Module()
        line, busy = Signal(LINE, reset_less=True), Signal()
        possible = Signal(reset_less=True)
        step, last_step = Signal(BL_BITS, reset_less=True), Signal(BL_BITS)
        last = busy & (step == last_step)
        # Settings are constant: what follows from them comes from registers, in time for a line.
        stochastic, row = delayed(m, self.mode == STOCHASTIC, "stochastic"), self.row
        if not self._counted:
            stochastic = Const(1, 1)
        base = delayed(m, ((self.chunk << SLOTS.bit_length()) - self.chunk)[:BL_BITS], "base")
        left = Signal(signed(BL_BITS + 1))
        m.d.comb += left.eq(self.bl - base)
        here = Mux(left < 0, 0, Mux(left > SLOTS, SLOTS, left))[: SLOTS.bit_length()]
        here = delayed(m, here, "here")
        groups = sum((here > n for n in range(self._slots, SLOTS, self._slots)), Const(0))
        slots = Mux(row & here.any(), base + here - 1, 0)
        longest = delayed(m, Mux(stochastic, groups, slots)[:BL_BITS], "longest")
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

        part = step[:SUB_BITS]
        fields = self._fields(m, line.index, busy, part)
        # Where in the word this step's slots lie: those of a row before the chunk are at no place;
        # of a column's thermometer, what is above them is left.
        number = self._number(m, line.probability)
        place = Signal(BL_BITS + 1)
        m.d.comb += place.eq(Mux(stochastic, part, step - base))
        place = delayed(m, place, "place", self._depth)
        above = Signal(signed(BL_BITS + 1))
        m.d.comb += above.eq(number[:BL_BITS] - base)
        count = Mux(above < 0, 0, above)[:BL_BITS]
        limit = delayed(m, Mux(stochastic | row, here, count), "limit")
        places = []
        for slot in range(SLOTS):
            # A thermometer on columns: every slot below the count.
            now = Mux(stochastic, place == slot // self._slots, ~row | (place == slot))
            places.append(now & (limit > slot))
        places = delayed(m, Cat(places), "places")
        fresh = delayed(m, step == 0, "fresh", self._depth - 1)
        first = delayed(m, fresh, "first", 2)
        fixed = self._grows(m, number, fresh) | ~row if self._counted else Const(0, 1)
        threshold = delayed(m, number, "threshold")
        fires = Cat(Mux(stochastic, field < threshold, fixed) for field in fields)
        fires = delayed(m, fires, "fires")

        word = Signal(SLOTS, reset_less=True)
        new = Cat(fires[slot % self._slots] & places[slot] for slot in range(SLOTS))
        m.d.sync += word.eq(new | Mux(first, 0, word))
        m.d.comb += [
            self.o.payload.word.eq(word),
            self.o.payload.index.eq(delayed(m, line.index, "index", self._depth + 2)),
            self.o.payload.sign.eq(delayed(m, line.sign, "sign", self._depth + 2)),
        ]
        ending = Signal(self._depth + 2)
        m.d.sync += ending.eq(Cat(last, ending))
        m.d.comb += self.o.valid.eq(ending[-1])
        return m

    def _fields(self, m: Module, index: Value, valid: Value, part: Value) -> list[Value]:
        """Return the 16-bit uniform numbers of a step's slots, `_depth` cycles later."""
        fields, first = [], Cat(Const(0, SUB_BITS), self.chunk)
        for n, key in enumerate(self._keys):
            m.submodules[f"key{n}"] = key
            m.d.comb += [
                key.key.eq(self.key),
                key.index.eq(index),
                key.sub.eq(first + part * len(self._keys) + n),
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
        if not self._counted:
            return delayed(m, probability, "number", self._depth - 1)
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
        return after ^ (delayed(m, after, "before") & ~delayed(m, first, "anew"))

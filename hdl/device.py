"""What n coincident pulses do to one crosspoint: a pipeline that takes one cell in each cycle.

The equations stand in `ohmgrid.model.device`, the twin of this file; widths and costs in
``docs/device.md``. Identities that save logic, all of them exact:

- both tables of `gaussian` are symmetric, so flipping their sign bits negates a draw;
- ``W - s = ~(~W + s)``: a down step is an up step between two inversions;
- the bounds enclose 0, so the sign of the result tells which of them may clip it.
"""

from typing import NamedTuple

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, unsigned
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ohmgrid.checks import check_int
from ohmgrid.config import SLOTS
from ohmgrid.hdl.arith import Divider, saturate, shift_half_up
from ohmgrid.hdl.device_ports import (
    C2C_BITS,
    C2C_WRITE,
    COUNT_BITS,
    MAX_WEIGHT_BITS,
    REGISTERS,
    pack_registers,
    request_layout,
    result_layout,
)
from ohmgrid.hdl.noise import CellMix, gaussian
from ohmgrid.hdl.timed import Stages, Timed
from ohmgrid.registers import BOUND_SHIFT, C2C_FRAC, REL_FRAC, SPREAD_SHIFT, STEP_FRAC
from ohmgrid.streams import GAUSS_BITS, GAUSS_SIGMA

__all__ = ["C2C_WRITE", "PRODUCTS", "REGISTERS", "DeviceUnit", "Popcount", "pack_registers"]

REL_BITS = REL_FRAC + 2
"""A relative step, a slope, a position; a curve has a sign in addition."""
LOCAL_BITS = REL_BITS + 3
NOISE_BITS = 16
TOTAL_BITS = 18
BLOCK_CYCLES, SOFT_CYCLES = 2, 3
"""Latency of a product in a multiplier block and in LUTs (`Stages.product`)."""
SIGN_BITS = (5, 9)
"""Bits of a Gaussian's index that negate its two summands."""

PRODUCTS = (
    *("step", "noise", "local", "slope", "lower", "upper"),
    *("scaled", "common", "balance", "gamma", "pulses"),
)
"""All products, in the order in which they are given multiplier blocks."""


def _full_add(a: Value, b: Value, c: Value) -> tuple[Value, Value]:
    """Return sum and carry of three bits."""
    return a ^ b ^ c, (a & b) | (c & (a | b))


class Popcount(wiring.Component):
    """Number of ones in a pulse train; one a cycle, `latency` cycles.

    Four counts of seven bits, then their sum; the three bits that are left are the carries into
    its adders.

    Members
    -------
    i : In(31)
    o : Out(5)
    """

    i: In(SLOTS)
    o: Out(COUNT_BITS)

    @property
    def latency(self) -> int:
        """Cycles from a train to its count."""
        return 2

    def elaborate(self, platform):
        m = Module()
        sevens = []
        for n in range(4):
            a, b, c, d, e, f, g = self.i[7 * n : 7 * n + 7]
            (one0, two0), (one1, two1) = _full_add(a, b, c), _full_add(d, e, f)
            one, two2 = _full_add(one0, one1, g)
            seven = Signal(3, name=f"seven{n}", reset_less=True)
            m.d.sync += seven.eq(Cat(one, *_full_add(two0, two1, two2)))
            sevens.append(seven)
        rest = Signal(3, reset_less=True)
        m.d.sync += rest.eq(self.i[28:])

        def add(left: Value, right: Value, carry: Value) -> Value:
            return (Cat(carry, left) + Cat(Const(1, 1), right)) >> 1

        low = add(sevens[0], sevens[1], rest[0])
        high = add(sevens[2], sevens[3], rest[1])
        total = Signal(COUNT_BITS, reset_less=True)
        m.d.sync += total.eq(add(low, high, rest[2]))
        m.d.comb += self.o.eq(total)
        return m


def _magnitude(value: Value, bits: int) -> Value:
    """Return ``min(abs(value), 2**bits - 1)`` of a signed value."""
    sign, width = value[-1], len(value)
    magnitude = ((value.as_unsigned() ^ sign.replicate(width)) + sign)[:width]
    return magnitude[:bits] | magnitude[bits:].any().replicate(bits)


def _field(word: Value, index: int) -> Value:
    return word[GAUSS_BITS * index : GAUSS_BITS * (index + 1)]


def _half(mean: Value, shift: int) -> Value:
    """Return ``mean`` and a half, shifted left: what a sum starts from that is shifted back."""
    total = Cat(Const(1 << (shift - 1), shift), mean)
    return total.as_signed() if mean.shape().signed else total


class _Cell(NamedTuple):
    """What a pulse meets: the weight, and the magnitudes of both bounds as drawn."""

    weight: Timed
    down: Timed
    upper: Timed
    lower: Timed
    swap: Timed
    """The upper draw is the lower one."""


class DeviceUnit(wiring.Component):
    """Pulses of one cell a cycle: ``result = visit(request)``, `latency` cycles later; no stalls.

    Static words 0 and 1 come from the low and the high halves of the static keys, the dynamic word
    from the cycle keys (`ohmgrid.model.noise.cell_words`).

    Parameters
    ----------
    weight_bits : int
        Width of a conductance, 12..18.
    lane_bits, address_bits : int
        Widths of the tags that travel with a cell.
    multipliers : int
        How many of `PRODUCTS` are made with multiplier blocks, the others are made of LUTs.

    Members
    -------
    request : In(request_layout)
        ``valid``; ``weight`` within +-(2**(weight_bits-1) - 1); ``mask``: slots in which row and
        column both fire, at least one; ``down``: the pulses lower the conductance; noise keys of
        row and column; tags.
    registers : In(REGISTERS)
    c2c_write : In(C2C_WRITE)
    result : Out(result_layout)
    """

    def __init__(self, weight_bits: int, lane_bits: int, address_bits: int, multipliers: int = 2):
        check_int("weight_bits", weight_bits, 12, MAX_WEIGHT_BITS)
        check_int("lane_bits", lane_bits, 1, 16)
        check_int("address_bits", address_bits, 1, 32)
        check_int("multipliers", multipliers, 0, len(PRODUCTS))
        self._size_bits = weight_bits - 1
        self._blocks = PRODUCTS[:multipliers]
        self._divider = Divider(self._size_bits + REL_FRAC, self._size_bits, REL_BITS)
        widths = (weight_bits, lane_bits, address_bits)
        super().__init__(
            {
                "request": In(request_layout(*widths)),
                "registers": In(REGISTERS),
                "c2c_write": In(C2C_WRITE),
                "result": Out(result_layout(*widths)),
            }
        )

    @property
    def latency(self) -> int:
        """Cycles from a request to its result."""
        series = ("upper", "slope", "local", "noise", "step")
        return 14 + self._divider.latency + sum(self._cycles(name) for name in series)

    def _cycles(self, product: str) -> int:
        return BLOCK_CYCLES if product in self._blocks else SOFT_CYCLES

    def elaborate(self, platform):
        m = Module()
        pipe = Stages(m)
        request, result = self.request, self.result
        names = ("lane", "address", "weight", "down")
        lane, address, weight, down = (Timed(request[name], 0) for name in names)
        word0, word1, word = self._words(m)
        rel = self._rel(pipe, word0, down)
        gamma = self._gamma(pipe, word0, word1, down)
        bounds = self._bounds(pipe, word1)
        lane, address, weight, down = pipe.together(bounds[0].time, lane, address, weight, down)
        cell = _Cell(weight, down, *bounds)
        position = self._position(m, pipe, cell)
        raw = self._raw(pipe, rel, gamma, position, cell)
        total = self._total(m, pipe, raw, rel, word)
        step = self._product(pipe, "step", "step", total, self.registers.dw)
        lane, address, *late = pipe.together(step.time, lane, address, *cell)
        rounding = word.slice(GAUSS_BITS, GAUSS_BITS + STEP_FRAC)
        updated = self._move(pipe, step, rounding, _Cell(*late))

        valid = Signal(self.latency)
        m.d.sync += valid.eq(Cat(request.valid, valid))
        m.d.comb += [
            result.valid.eq(valid[-1]),
            result.weight.eq(pipe.at(updated, self.latency)),
            result.lane.eq(pipe.at(lane, self.latency)),
            result.address.eq(pipe.at(address, self.latency)),
        ]
        return m

    def _words(self, m: Module) -> list[Timed]:
        """Hash static words 0 and 1 and the dynamic word."""
        request, words = self.request, []
        for name, row_key, col_key in (
            ("hash_static0", request.row_static[:32], request.col_static[:32]),
            ("hash_static1", request.row_static[32:], request.col_static[32:]),
            ("hash_cycle", request.row_cycle, request.col_cycle),
        ):
            m.submodules[name] = mix = CellMix()
            m.d.comb += [mix.row_key.eq(row_key), mix.col_key.eq(col_key)]
            words.append(Timed(mix.o, mix.latency))
        return words

    def _product(self, pipe: Stages, part: str, name: str, a: Timed, b: Timed | Value) -> Timed:
        """Multiply ``a`` by a value or a register."""
        factor = b if isinstance(b, Timed) else Timed(b, a.time, held=True)
        return pipe.product(part, name, a, factor, name in self._blocks)

    def _rel(self, pipe: Stages, word0: Timed, down: Timed) -> Timed:
        """Return the cell's relative step in the pulses' direction."""
        regs, part = self.registers, "rel"

        def negated(word: Value, down: Value) -> Value:
            signs = Cat(down if bit in SIGN_BITS else Const(0, 1) for bit in range(GAUSS_BITS))
            return gaussian(_field(word, 1) ^ signs)

        def spread(common: Value, balance: Value, down: Value) -> Value:
            mean = Mux(down, regs.rel_down, regs.rel_up)
            return (_half(mean, SPREAD_SHIFT) + common + balance) >> SPREAD_SHIFT

        z0 = pipe.stage(part, "z0", lambda word: gaussian(_field(word, 0)), word0)
        z1 = pipe.stage(part, "z1", negated, word0, down)
        common = self._product(pipe, part, "common", z0, regs.k_step)
        balance = self._product(pipe, part, "balance", z1, regs.k_updown)
        total = pipe.stage(part, "spread", spread, common, balance, down)
        return pipe.stage(part, "out", lambda value: _magnitude(value, REL_BITS), total)

    def _gamma(self, pipe: Stages, word0: Timed, word1: Timed, down: Timed) -> Timed:
        """Return the slope of the cell's step curve in the pulses' direction."""
        regs, part = self.registers, "gamma"

        def draw(word0: Value, word1: Value, down: Value) -> Value:
            return gaussian(Mux(down, _field(word1, 2), _field(word0, 2)))

        def spread(product: Value, down: Value) -> Value:
            mean = Mux(down, regs.gamma_down, regs.gamma_up)
            return (_half(mean, SPREAD_SHIFT) + product) >> SPREAD_SHIFT

        z = pipe.stage(part, "z", draw, word0, word1, down)
        k = Mux(pipe.at(down, z.time), regs.k_gamma_down, regs.k_gamma_up)
        product = self._product(pipe, part, "gamma", z, Timed(k, z.time))
        total = pipe.stage(part, "spread", spread, product, down)
        return pipe.stage(part, "out", lambda value: _magnitude(value, REL_BITS), total)

    def _bounds(self, pipe: Stages, word1: Timed) -> tuple[Timed, Timed, Timed]:
        """Return the magnitudes of the upper and the lower draw and whether they have to swap."""
        regs, part, bits = self.registers, "bounds", self._size_bits

        def draw(name: str, index: int, mean: Value, k: Value) -> Timed:
            start = _half(mean[: bits + 1].as_signed(), BOUND_SHIFT)
            z = pipe.stage(part, f"z{index}", lambda word: gaussian(_field(word, index)), word1)
            spread = self._product(pipe, part, name, z, k)
            return pipe.stage(
                part, f"draw{index}", lambda spread: (start + spread) >> BOUND_SHIFT, spread
            )

        draws = (draw("upper", 0, regs.b_max, regs.k_max), draw("lower", 1, regs.b_min, regs.k_min))
        upper, lower = (
            pipe.stage(part, "size", lambda value: _magnitude(value, bits), value)
            for value in draws
        )
        # Compared before they saturate: both do so only to one end, and then they are equal.
        return upper, lower, pipe.stage(part, "swap", lambda a, b: a < b, *draws)

    def _position(self, m: Module, pipe: Stages, cell: _Cell) -> Timed:
        """Return the magnitude of the weight in units of the bound ahead."""
        regs, bits = self.registers, self._size_bits

        def ahead(weight: Value, down: Value, upper: Value, lower: Value, swap: Value) -> Value:
            mean = Mux(down, -regs.b_min, regs.b_max)
            bound = Mux(regs.own_bounds, Mux(down ^ swap, lower, upper), mean[:bits])
            # Zero is at position 0 even where the bound is 0.
            return bound | ~weight.any()

        bound = pipe.stage("position", "bound", ahead, *cell)
        size = pipe.stage("position", "size", lambda weight: abs(weight)[:bits], cell.weight)
        m.submodules.divider = divider = self._divider
        m.d.comb += [
            divider.numerator.eq(Cat(Const(0, REL_FRAC), size.value)),
            divider.denominator.eq(bound.value),
        ]
        return Timed(divider.quotient, bound.time + divider.latency)

    def _raw(self, pipe: Stages, rel: Timed, gamma: Timed, position: Timed, cell: _Cell) -> Timed:
        """Return the step at this weight, ``rel * curve``, before it is rounded."""

        def curve(slope: Value, back: Value) -> Value:
            # one - floor(+-slope + 1/2): ahead of 0, slope is inverted and the start is one more.
            ahead = ~back
            start = Cat(back.replicate(REL_FRAC - 1), ahead, Const(1 << REL_FRAC, REL_FRAC + 2))
            change = Cat(slope ^ ahead.replicate(len(slope)), ahead).as_signed()
            return saturate((start.as_signed() + change) >> REL_FRAC, REL_BITS + 1)

        back = pipe.stage("curve", "back", lambda weight, down: weight[-1] ^ down, *cell[:2])
        gamma, back = pipe.together(position.time, gamma, back)
        slope = self._product(pipe, "curve", "slope", gamma, position)
        curved = pipe.stage("curve", "out", curve, slope, back)
        return self._product(pipe, "local", "local", curved, rel)

    def _total(self, m: Module, pipe: Stages, raw: Timed, rel: Timed, word: Timed) -> Timed:
        """Return the steps of all pulses with their noise, in units of the mean step."""
        regs = self.registers
        m.submodules.popcount = popcount = Popcount()
        m.submodules.c2c = table = Memory(shape=unsigned(C2C_BITS), depth=1 << COUNT_BITS, init=[])
        write, read = table.write_port(), table.read_port()
        # The noise is made as late as possible: a draw is narrower than the noise.
        draw, count = pipe.together(
            raw.time - 1 - self._cycles("scaled"),
            word.slice(0, GAUSS_BITS),
            Timed(popcount.o, popcount.latency),
        )
        m.d.comb += [
            write.en.eq(self.c2c_write.en),
            write.addr.eq(self.c2c_write.address),
            write.data.eq(self.c2c_write.data),
            popcount.i.eq(self.request.mask),
            read.addr.eq(count.value),
        ]
        shift = GAUSS_SIGMA.bit_length() - 1 + C2C_FRAC - REL_FRAC

        def noise(scaled: Value) -> Value:
            return shift_half_up(scaled, shift)[:NOISE_BITS].as_signed()

        def local(raw: Value) -> Value:
            return shift_half_up(raw, REL_FRAC)[:LOCAL_BITS].as_signed()

        def amplitude(raw: Value, rel: Value) -> Value:
            return Mux(regs.multiplicative, local(raw), rel)[:LOCAL_BITS].as_signed()

        def total(pulses: Value, product: Value) -> Value:
            return saturate((_half(pulses, REL_FRAC) + product) >> REL_FRAC, TOTAL_BITS)

        z = pipe.stage("noise", "z", gaussian, draw)
        scaled = self._product(pipe, "noise", "scaled", z, Timed(read.data, z.time))
        relative = pipe.stage("noise", "out", noise, scaled)
        step = pipe.stage("local", "out", local, raw)
        factor = pipe.stage("local", "amplitude", amplitude, raw, rel)
        pulses = self._product(pipe, "total", "pulses", step, count)
        product = self._product(pipe, "total", "noise", relative, factor)
        return pipe.stage("total", "out", total, pulses, product)

    def _move(self, pipe: Stages, step: Timed, rounding: Timed, cell: _Cell) -> Timed:
        """Return the weight after the step, clipped to the cell's bounds."""
        regs, part, bits = self.registers, "move", self._size_bits

        def moved(step: Value, rounding: Value, weight: Value, down: Value) -> Value:
            four, eight = regs.dw_shift[2], regs.dw_shift[3]
            shifted = Mux(eight, Mux(four, step >> 12, step >> 8), Mux(four, step >> 4, step))
            start = Cat(rounding, weight) ^ down.replicate(STEP_FRAC + bits + 1)
            return (start.as_signed() + shifted) >> STEP_FRAC

        def limit(turned: Value, down: Value, upper: Value, lower: Value, swap: Value) -> Value:
            return Mux(turned[-1] ^ down ^ swap, lower, upper)

        def beyond(turned: Value, down: Value, *bounds: Value) -> Value:
            # The sign of limit - abs(moved); the lowest bit carries into the sum.
            minus = turned.as_unsigned() ^ (~turned[-1]).replicate(len(turned))
            size = Cat(~(turned[-1] ^ down), minus).as_signed()
            return (size + Cat(Const(1, 1), limit(turned, down, *bounds)))[-1]

        def end(turned: Value, down: Value, *bounds: Value) -> Value:
            negative = turned[-1] ^ down
            return Cat(limit(turned, down, *bounds) ^ negative.replicate(bits), negative)

        def inside(turned: Value, down: Value) -> Value:
            return turned[: bits + 1] ^ down.replicate(bits + 1)

        def chosen(over: Value, end: Value, inside: Value) -> Value:
            return (Mux(over, end, inside) + (over & end[-1]))[: bits + 1].as_signed()

        turned = pipe.stage(part, "turned", moved, step, rounding, cell.weight, cell.down)
        over = pipe.stage(part, "over", beyond, turned, *cell[1:])
        stop = pipe.stage(part, "stop", end, turned, *cell[1:])
        free = pipe.stage(part, "free", inside, turned, cell.down)
        return pipe.stage(part, "updated", chosen, over, stop, free)

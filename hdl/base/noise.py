"""Counter-based noise: every random number is a hash of its address.

The equations stand in `ohmgrid.model.base.noise`, the twin of this file; the constants in
`ohmgrid.registers.noise`.  A round costs one LUT4 a bit: its constant and its rotations are free.
`KeySchedule` makes the key of an operation once, `LineKey` the keys of rows and columns, one a
cycle, `CellMix` the word of a cell in a lane from the sum of its two line keys.
"""

from collections.abc import Sequence

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ohmgrid.doors.checks import check_int
from ohmgrid.registers.noise import (
    CELL_BITS,
    CELL_ROTATIONS,
    CELL_ROUNDS,
    GAUSS_BITS,
    GAUSS_COARSE,
    GAUSS_FINE,
    GAUSS_TAIL,
    KEY_BITS,
    LINE_INDEX_TURNS,
    LINE_ROTATIONS,
    LINE_ROUNDS,
    LINE_SUB_TURNS,
    RC32,
    RC64,
    SEED_ROUNDS,
    SEED_TWEAK,
)

__all__ = ["CellMix", "KeySchedule", "LineKey", "gaussian", "sbox_layer"]


def _check_width(name: str, value: Value, width: int):
    if len(value) != width:
        raise ValueError(f"{name}: expected {width} bits, got {len(value)}")


def sbox_layer(value: Value) -> Value:
    """Apply the S-box to each column of four planes (combinational, one LUT4 a bit).

    Written as operations on whole planes, not as a table for each column: the simulators work on
    planes, synthesis sees the same four-input functions either way.

    Parameters
    ----------
    value : 4 n bits; plane k is bits ``n k`` to ``n k + n - 1``.  A signal, not an expression: the
        expression would be repeated for each of its uses.
    """
    if len(value) % 4:
        raise ValueError(f"value: expected four planes of equal width, got {len(value)} bits")
    width = len(value) // 4
    a, b, c, d = (value[k * width : (k + 1) * width] for k in range(4))
    c_xor_d = c ^ d
    b_xor_c = b ^ c
    low = (a & ~b) ^ c_xor_d
    inner = a ^ (d | ~b)
    return Cat(low, c ^ inner, inner ^ (low | b_xor_c), b_xor_c ^ (c_xor_d & inner))


def _rotate_planes(mixed: Signal, rotations: Sequence[int]) -> Value:
    width = len(mixed) // 4
    planes = (mixed[k * width : (k + 1) * width] for k in range(4))
    return Cat(p.rotate_left(turn) for p, turn in zip(planes, rotations, strict=True))


def _round(m: Module, state: Value, constant: int, rotations: Sequence[int], name: str) -> Value:
    """Compute one round; both halves get a signal, so that rounds in a row do not nest."""
    keyed = Signal(len(state), name=f"{name}_keyed")
    mixed = Signal(len(state), name=f"{name}_mixed")
    m.d.comb += [keyed.eq(state ^ constant), mixed.eq(sbox_layer(keyed))]
    return _rotate_planes(mixed, rotations)


def _lookup(table: Sequence[int], index: Value, width: int) -> Value:
    """Select ``table[index]`` with a tree of multiplexers.

    A tree, not a switch: yosys turns a switch into a memory and may give it a block RAM.
    """
    level: list[Value] = [Const(entry, width) for entry in table]
    for bit in index:
        level = [Mux(bit, high, low) for low, high in zip(level[::2], level[1::2], strict=True)]
    return level[0]


def gaussian(bits: Value) -> Value:
    """Turn 10 random bits into a normal draw, sigma = GAUSS_SIGMA LSB (combinational).

    ``z = GAUSS_COARSE[bits mod 64] + GAUSS_FINE[bits div 64]``; the largest and the smallest sum
    lie GAUSS_TAIL further out.

    Parameters
    ----------
    bits : 10 bits of a signal

    Returns
    -------
    signed(9)
    """
    _check_width("bits", bits, GAUSS_BITS)
    coarse = _lookup(GAUSS_COARSE, bits[:6], 9).as_signed()
    fine = _lookup(GAUSS_FINE, bits[6:], 9)
    # Both parts are largest where all bits of their index but the sign are ones. GAUSS_TAIL is
    # flipped in, for those bits are clear in the largest fine part and set in the smallest.
    outermost = Cat(bits[:5], bits[6:9]).all() & (bits[5] == bits[9])
    fine = fine ^ Mux(outermost, GAUSS_TAIL, 0)
    return (coarse + fine[:9].as_signed())[:9].as_signed()


class KeySchedule(wiring.Component):
    """Makes the key of an operation, one round a cycle.

    ``base = P64(seed ^ SEED_TWEAK)`` on `load`, then for each operation on `start`
    ``key = P64(base ^ (verb | tile << 8 | step << 16))``.

    `done` is high for one cycle, `cycles` cycles after the strobe; `key` stays until the next
    strobe.  Strobes while `busy` are ignored; `load` goes before `start`.

    Members
    -------
    seed : In(64), sampled with `load`
    load : In(1), strobe
    verb, tile, step : In(8), In(8), In(48), sampled with `start`
    start : In(1), strobe
    busy : Out(1)
    done : Out(1), strobe
    key : Out(64), key of the operation, valid from `done`

    Cost: 135 flip-flops; 332 LUT4 on iCE40, 341 on ECP5.
    """

    seed: In(KEY_BITS)
    load: In(1)
    verb: In(8)
    tile: In(8)
    step: In(48)
    start: In(1)
    busy: Out(1)
    done: Out(1)
    key: Out(KEY_BITS)

    @property
    def cycles(self) -> int:
        """Cycles from a strobe to `done`: one to load the state, one for each round."""
        return SEED_ROUNDS + 1

    def elaborate(self, platform):
        m = Module()
        base = Signal(KEY_BITS, reset_less=True)
        state = Signal(KEY_BITS, reset_less=True)
        count = Signal(range(SEED_ROUNDS))
        seeding = Signal()
        # The state is held with the constant of its coming round already added: a bit of the next
        # state is then one LUT4 of S-box, constant, `busy` and the bit to load.
        constants = Array(Const(c, KEY_BITS) for c in (*RC64[1:SEED_ROUNDS], 0))
        mixed = Signal(KEY_BITS)
        following = Signal(KEY_BITS)
        m.d.comb += [
            mixed.eq(sbox_layer(state)),
            following.eq(_rotate_planes(mixed, LINE_ROTATIONS) ^ constants[count]),
            self.key.eq(state),
        ]
        address = Cat(self.verb, self.tile, self.step)
        with m.If(self.busy):
            m.d.sync += [state.eq(following), count.eq(count + 1)]
        with m.Elif(self.load | self.start):
            m.d.sync += [
                state.eq(Mux(self.load, self.seed ^ SEED_TWEAK, base ^ address) ^ RC64[0]),
                self.busy.eq(1),
                count.eq(0),
                seeding.eq(self.load),
            ]
        m.d.sync += self.done.eq(0)
        with m.If(self.busy & (count == SEED_ROUNDS - 1)):
            m.d.sync += [self.busy.eq(0), self.done.eq(1)]
            with m.If(seeding):
                m.d.sync += base.eq(following)
        return m


def _stages(rounds: int, rounds_per_stage: int) -> list[range]:
    """Split the numbers of the rounds into pipeline stages."""
    check_int("rounds_per_stage", rounds_per_stage, 1, rounds)
    first = range(0, rounds, rounds_per_stage)
    return [range(n, min(n + rounds_per_stage, rounds)) for n in first]


class LineKey(wiring.Component):
    """Makes the keys of lines: ``o = P64(key ^ spread(index, sub) ^ purpose << 56)``.

    ``spread`` is the XOR of `index` rotated by LINE_INDEX_TURNS and `sub` by LINE_SUB_TURNS.

    One key a cycle, `latency` cycles after its address; no stalls.

    Parameters
    ----------
    rounds_per_stage : rounds between two registers, 1 to LINE_ROUNDS

    Members
    -------
    key : In(64), key of the operation, from `KeySchedule`
    index : In(16), number of the line
    sub : In(8), group of slots or number of the pass
    purpose : In(8), `ohmgrid.registers.noise.Purpose`
    i_valid : In(1), an address stands on the inputs
    o : Out(64), the line key
    o_valid : Out(1), `i_valid` delayed with the data

    Cost: 64 LUT4 a round and about 120 for the address, 65 flip-flops a stage.
    """

    def __init__(self, rounds_per_stage: int = 2):
        self._stages = _stages(LINE_ROUNDS, rounds_per_stage)
        super().__init__(
            {
                "key": In(KEY_BITS),
                "index": In(16),
                "sub": In(8),
                "purpose": In(8),
                "i_valid": In(1),
                "o": Out(KEY_BITS),
                "o_valid": Out(1),
            }
        )

    @property
    def latency(self) -> int:
        """Cycles from an address to its key."""
        return len(self._stages)

    def elaborate(self, platform):
        m = Module()
        state = self.key ^ Cat(Const(0, KEY_BITS - len(self.purpose)), self.purpose)
        for field, turns in ((self.index, LINE_INDEX_TURNS), (self.sub, LINE_SUB_TURNS)):
            word = Cat(field, Const(0, KEY_BITS - len(field)))
            for turn in turns:
                state = state ^ word.rotate_left(turn)
        valid = self.i_valid
        for n, stage in enumerate(self._stages):
            for r in stage:
                state = _round(m, state, RC64[r], LINE_ROTATIONS, f"round{r}")
            held = Signal(KEY_BITS, name=f"state{n}", reset_less=True)
            held_valid = Signal(name=f"valid{n}")
            m.d.sync += [held.eq(state), held_valid.eq(valid)]
            state, valid = held, held_valid
        m.d.comb += [self.o.eq(state), self.o_valid.eq(valid)]
        return m


class CellMix(wiring.Component):
    """Makes the noise word of a cell: ``o = P32((row_key + col_key) mod 2^32)``.

    One word a cycle, `latency` cycles after its keys; no stalls, no valid: whoever feeds the keys
    counts the cycles.

    Parameters
    ----------
    register_sum : a register after the adder; without it the first round follows in the same cycle
    rounds_per_stage : rounds between two registers, 1 to CELL_ROUNDS

    Members
    -------
    row_key, col_key : In(32), halves of two line keys
    o : Out(32), the word

    Cost: 32 LUT4 for the sum and for each round, 32 flip-flops a register.
    """

    def __init__(self, register_sum: bool = True, rounds_per_stage: int = 1):
        self._register_sum = register_sum
        self._stages = _stages(CELL_ROUNDS, rounds_per_stage)
        super().__init__({"row_key": In(CELL_BITS), "col_key": In(CELL_BITS), "o": Out(CELL_BITS)})

    @property
    def latency(self) -> int:
        """Cycles from the keys to the word."""
        return int(self._register_sum) + len(self._stages)

    def elaborate(self, platform):
        m = Module()
        state = (self.row_key + self.col_key)[:CELL_BITS]
        if self._register_sum:
            total = Signal(CELL_BITS, reset_less=True)
            m.d.sync += total.eq(state)
            state = total
        for n, stage in enumerate(self._stages):
            for r in stage:
                state = _round(m, state, RC32[r], CELL_ROTATIONS, f"round{r}")
            held = Signal(CELL_BITS, name=f"state{n}", reset_less=True)
            m.d.sync += held.eq(state)
            state = held
        m.d.comb += self.o.eq(state)
        return m

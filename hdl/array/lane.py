"""A lane: memory, write noise, multiplier, accumulator, train AND.

One word of every lane is visited in each cycle. Stages of a visit::

    A  address       B  memory output       C  word register; trains       D  word and mask
    V  visible weight; operands
    P  product, `Lane.lag` cycles after D       S  accumulator (backward)

A to D are held while ``advance`` is low (a group's queue is full); what comes after D never waits:
it takes each visit once, when it is new in D.

Column values (DAC code, pulse train, noise key) stay in the lane for a whole block of rows and are
loaded, one lane a cycle, into a second set of registers while the block before is swept. Codes come
as much later as V is later than D.
"""

from amaranth.hdl import Module, Mux, Signal, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ohmgrid.config import SLOTS, Config
from ohmgrid.hdl.base.multiplier import Multiplier
from ohmgrid.hdl.device.visible import VisibleWeight
from ohmgrid.hdl.periphery.voltages import code_bits
from ohmgrid.registers.device import VISIBLE_BITS
from ohmgrid.registers.noise import CELL_BITS

__all__ = ["AdderTree", "Lane", "product_bits", "sum_bits"]


def product_bits(config: Config) -> int:
    """Return the width of conductance times code."""
    return config.formats.weight_bits + code_bits(config) - 1


def sum_bits(config: Config) -> int:
    """Return the width of an exact sum of products over the longest row or column."""
    # The weight of a pair is the difference of two conductances.
    lines = max(config.build.max_rows, 2 * config.build.max_cols)
    return product_bits(config) + (lines - 1).bit_length()


class AdderTree(wiring.Component):
    """Sum of ``count`` signed values: one register stage for each doubling.

    Parameters
    ----------
    count : int
        Values, >= 1.
    width : int
        Bits of a value (signed).
    out_width : int
        Bits of the sum.

    Members
    -------
    i : Array of ``In(signed(width))``, named i0, i1, ...
    o : ``Out(signed(out_width))``
    """

    def __init__(self, count, width, out_width):
        self.count, self.width = count, width
        super().__init__(
            {f"i{k}": In(signed(width)) for k in range(count)} | {"o": Out(signed(out_width))}
        )

    @property
    def latency(self):
        """Cycles from input to output."""
        return (self.count - 1).bit_length()

    def elaborate(self, platform):
        m = Module()
        level = [getattr(self, f"i{k}") for k in range(self.count)]
        width = self.width
        while len(level) > 1:
            width += 1
            above = []
            for k in range(0, len(level), 2):
                node = Signal(signed(width), reset_less=True, name=f"sum{width}_{k}")
                m.d.sync += node.eq(sum(level[k : k + 2]))
                above.append(node)
            level = above
        m.d.comb += self.o.eq(level[0])
        return m


class Lane(wiring.Component):
    """One lane: its words, its column's values, its multiplier and accumulator.

    Parameters
    ----------
    depth : int
        Words of memory.
    weight_bits : int
    acc_bits : int
        Width of the backward accumulator.
    code_bits : int
        Width of what the words are multiplied with.
    write_noise : bool
        Whether reads can differ from what is stored.
    read_physics : bool
        Whether sums over magnitudes are asked for.

    Members
    -------
    advance : In(1)
        Enables stages A to D.
    address, read : In
        Word to read in stage A.
    take : In(1)
        The block's first row is in stage B: the loaded train becomes the current one.
    load, load_train, load_sign, load_key : In
        Writes the next column's train and key of the write noise.
    take_key : In(1)
        The block's first row moves to stage D: the loaded key becomes the current one.
    load_operand, load_code, take_operand : In
        Likewise for the code, which is current in the cycle after: the block's first row is then
        in stage V.
    backward : In(1)
        The multiplier takes the row's code (else the column's); constant during a sweep.
    magnitude : In(1)
        The multiplier takes the word's magnitude; a word below zero is complemented for it. Of a
        pair, in the minus device's row, it takes that of minus less plus, saturated. Only with
        ``read_physics``.
    row_code : In
        The row's code, a cycle before stage V.
    row_train, row_sign, minus : In
        The row's values and whether it holds minus devices, in stage C.
    paired : In(1)
        Weights are pairs of devices, and all pulses are up pulses.
    row_key : In(32)
        The row's key of the write noise, in stage D.
    visible : In
        Write noise, as in `VisibleWeight`.
    hit_valid : In(1)
        Stage C holds a cell to update.
    fresh, first : In(1)
        Stage P holds a visit (of a block's first row).
    capture, shift : In(1)
        Moves the accumulator into the chain; shifts the chain by one lane.
    chain_i, chain_o : accumulators on their way out
    write, write_address, write_data : In
        Write port of the memory.
    product : Out: stage P
    weight, hit : Out
        The word in stage D; the cell is to be updated.
    """

    def __init__(self, depth, weight_bits, acc_bits, code_bits, write_noise, read_physics):
        self.depth, self.weight_bits = depth, weight_bits
        self.write_noise, self.read_physics = write_noise, read_physics
        address = range(depth)
        super().__init__(
            {
                "advance": In(1),
                "address": In(address),
                "read": In(1),
                "take": In(1),
                "load": In(1),
                "load_train": In(SLOTS),
                "load_sign": In(1),
                "load_key": In(CELL_BITS),
                "take_key": In(1),
                "load_operand": In(1),
                "load_code": In(signed(code_bits)),
                "take_operand": In(1),
                "backward": In(1),
                "magnitude": In(1),
                "row_code": In(signed(code_bits)),
                "row_train": In(SLOTS),
                "row_sign": In(1),
                "minus": In(1),
                "paired": In(1),
                "row_key": In(CELL_BITS),
                "visible": In(VISIBLE_BITS),
                "hit_valid": In(1),
                "fresh": In(1),
                "first": In(1),
                "capture": In(1),
                "shift": In(1),
                "chain_i": In(signed(acc_bits)),
                "chain_o": Out(signed(acc_bits)),
                "write": In(1),
                "write_address": In(address),
                "write_data": In(signed(weight_bits)),
                "product": Out(signed(weight_bits + code_bits - 1)),
                "weight": Out(signed(weight_bits)),
                "hit": Out(1),
            }
        )

    @property
    def lag(self):
        """Cycles from stage D to stage P."""
        seen = VisibleWeight(self.weight_bits).latency if self.write_noise else 0
        return seen + Multiplier.latency

    def elaborate(self, platform):
        m = Module()
        m.submodules.memory = memory = Memory(
            shape=unsigned(self.weight_bits), depth=self.depth, init=[]
        )
        read, write = memory.read_port(), memory.write_port()
        m.d.comb += [
            read.en.eq(self.advance & self.read),
            read.addr.eq(self.address),
            write.en.eq(self.write),
            write.addr.eq(self.write_address),
            write.data.eq(self.write_data),
        ]
        # A sweep visits each address once and a result comes back many cycles later, so the
        # memory needs no defined answer to a read and a write of one address; the group checks.

        # A lane without a column in the next block stays silent there.
        next_train = _loaded(m, self.load, self.load_train, self.take, "train")
        next_sign = _loaded(m, self.load, self.load_sign, self.take, "sign")
        next_code = _loaded(m, self.load_operand, self.load_code, self.take_operand, "code")
        train, sign = Signal.like(next_train), Signal.like(next_sign)
        with m.If(self.take):
            m.d.sync += [train.eq(next_train), sign.eq(next_sign)]

        word = Signal(signed(self.weight_bits), reset_less=True)
        mask = self.row_train & train
        down = self.row_sign == sign
        hit = mask.any() & self.hit_valid & ~(self.paired & (down ^ self.minus))
        with m.If(self.advance):
            m.d.sync += [
                word.eq(read.data),
                self.weight.eq(self._joined(m, word) if self.read_physics else word),
                self.hit.eq(hit),
            ]

        seen = self.weight
        if self.write_noise:
            next_key = _loaded(m, self.load, self.load_key, self.take_key, "key")
            key = Signal.like(next_key, reset_less=True)
            with m.If(self.take_key):
                m.d.sync += key.eq(next_key)
            m.submodules.visible = visible = VisibleWeight(self.weight_bits)
            m.d.comb += [
                visible.weight.eq(self.weight),
                visible.row_key.eq(self.row_key),
                visible.col_key.eq(key),
                visible.visible.eq(self.visible),
            ]
            seen = visible.o

        # Chosen before its register: the product fills the cycle that follows.
        operand = Signal.like(self.load_code, reset_less=True)
        with m.If(self.take_operand | self.backward):
            m.d.sync += operand.eq(Mux(self.backward, self.row_code, next_code))
        m.submodules.multiplier = multiplier = Multiplier(seen.shape(), operand.shape())
        m.d.comb += [
            multiplier.a.eq(self._sized(seen) if self.read_physics else seen),
            multiplier.b.eq(operand),
            self.product.eq(multiplier.o),
        ]
        total = Signal.like(self.chain_o, reset_less=True)
        with m.If(self.fresh):
            m.d.sync += total.eq(Mux(self.first, 0, total) + self.product)
        with m.If(self.capture | self.shift):
            m.d.sync += self.chain_o.eq(Mux(self.capture, total, self.chain_i))
        return m

    def _joined(self, m, word):
        """Return a word, or of a pair minus less plus device, where its magnitude is asked for.

        The plus device's word is one visit ahead. What is beyond the lowest weight becomes the
        largest one, too: its magnitude is right.
        """
        plus = Signal.like(word, reset_less=True)
        difference = Signal(signed(self.weight_bits + 1))
        m.d.comb += difference.eq(word - plus)
        with m.If(self.advance):
            m.d.sync += plus.eq(Mux(self.paired & self.magnitude & ~self.minus, word, 0))
        top = (1 << (self.weight_bits - 1)) - 1
        return Mux(difference[-1] ^ difference[-2], top, difference)

    def _sized(self, seen):
        """Return what is multiplied: a word, or its magnitude."""
        flip = (seen[-1] & self.magnitude).replicate(len(seen))
        return (seen.as_unsigned() ^ flip).as_signed()


def _loaded(m, load, value, take, name):
    """Return the register of a column's value that the next block takes over, and clears then."""
    register = Signal.like(value, name=f"next_{name}")
    with m.If(load):
        m.d.sync += register.eq(value)
    with m.Elif(take):
        m.d.sync += register.eq(0)
    return register

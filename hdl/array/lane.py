"""A lane: memory, write noise, multiplier, accumulator, train AND.

One word of every lane is visited in each cycle, never held. Stages of a visit::

    A  address      B  memory output     C  word register; trains      D  word; slots shared
    H  word and hit     V  visible weight; operands     P  product     S  accumulator

`Lane.times` has the cycles between them. The values of the *lane line*, which lies along a lane
(DAC code, pulse train, noise key), stay in the lane for a whole block of *serial lines*, which come
one with a visit. They are loaded, one lane a cycle, into a second set of registers while the
block before is swept: each where its visits use it, so that they meet in order. Columns lie along
the lanes and rows are serial, or the other way round in an array that lies *turned*.
"""

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ohmgrid.config import Config
from ohmgrid.hdl.base.block_ram import BlockRam
from ohmgrid.hdl.base.multiplier import Multiplier
from ohmgrid.hdl.base.own_register import OwnRegister
from ohmgrid.hdl.base.pipeline import delayed
from ohmgrid.hdl.device.visible import VisibleWeight
from ohmgrid.hdl.periphery.voltages import code_bits
from ohmgrid.periphery import SLOTS
from ohmgrid.registers.device import VISIBLE_BITS
from ohmgrid.registers.noise import CELL_BITS

__all__ = ["AdderTree", "Lane", "product_bits", "shared_layout", "sum_bits"]


def product_bits(config: Config) -> int:
    """Return the width of conductance times code."""
    return config.formats.weight_bits + code_bits(config) - 1


def sum_bits(config: Config) -> int:
    """Return the width of an exact sum of products over the longest row or column."""
    build = config.build
    # The weight of a pair is the difference of two conductances; a second word counts often.
    lines = max(build.outputs, 2 * build.inputs, (1 + build.significance) * build.lines)
    return product_bits(config) + (lines - 1).bit_length()


def shared_layout(depth: int, code_bits: int) -> data.StructLayout:
    """Return the layout of what a group brings to all its lanes.

    Stage A: ``read`` the word at ``address``; ``take``, this is a block's first visit, the loaded
    train becomes the current one in stage B. B: ``load_train``, ``load_sign``. C: ``visit``, one is
    here; ``serial_train``, ``serial_sign``, and ``minus``, the serial line holds minus devices;
    ``take_key``, ``load_key``. D: ``serial_key``. Before V: ``take_code``, ``load_code``,
    ``serial_code``. P: ``fresh``, there is a visit, a block's ``first`` one.

    ``move`` the chain on by a lane in the next cycle; with ``capture``, the accumulators into it.

    Constant in a sweep: ``by_serial``, the multiplier takes the serial line's code, else the lane
    line's; ``paired``, weights are pairs of devices, and all pulses are up pulses; ``turned`` and
    ``visible``, write noise as of `VisibleWeight`. ``magnitude``, with ``read_physics``: the
    multiplier takes the word's magnitude; a word below zero is complemented for it. Of a pair, in
    the minus device's line, it takes that of minus less plus, saturated.
    """
    return data.StructLayout(
        {
            **{"read": 1, "address": range(depth)},
            **{"take": 1, "load_train": SLOTS, "load_sign": 1},
            **{"visit": 1, "serial_train": SLOTS, "serial_sign": 1, "minus": 1},
            **{"take_key": 1, "load_key": CELL_BITS, "serial_key": CELL_BITS},
            **{"take_code": 1, "load_code": signed(code_bits), "serial_code": signed(code_bits)},
            **{"fresh": 1, "first": 1, "capture": 1, "move": 1},
            **{"by_serial": 1, "turned": 1},
            **{"magnitude": 1, "paired": 1, "visible": VISIBLE_BITS},
        }
    )


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
    """One lane: its words, its line's values, its multiplier and accumulator.

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
    shared : In(shared_layout)
        What is the same for all lanes of a group.
    load, load_key, load_code : In(1)
        Writes the next line's train and sign in stage B, its key of the write noise in stage C
        and its code a cycle before stage V.
    chain_i, chain_o : accumulators on their way out
    write, write_address, write_data : In
        Write port of the memory.
    product : Out: stage P
    weight, hit : Out
        The word in stage H; the cell is to be updated.
    """

    def __init__(self, depth, weight_bits, acc_bits, code_bits, write_noise, read_physics):
        self.depth, self.weight_bits = depth, weight_bits
        self.write_noise, self.read_physics = write_noise, read_physics
        super().__init__(
            {
                "shared": In(shared_layout(depth, code_bits)),
                "load": In(1),
                "load_key": In(1),
                "load_code": In(1),
                "chain_i": In(signed(acc_bits)),
                "chain_o": Out(signed(acc_bits)),
                "write": In(1),
                "write_address": In(range(depth)),
                "write_data": In(signed(weight_bits)),
                "product": Out(signed(weight_bits + code_bits - 1)),
                "weight": Out(signed(weight_bits)),
                "hit": Out(1),
            }
        )

    @property
    def times(self):
        """Cycles from stage A to each stage, by its letter."""
        seen = VisibleWeight(self.weight_bits).latency if self.write_noise else 0
        v = 3 + seen
        p = v + Multiplier.latency
        return {"A": 0, "B": 1, "C": 2, "D": 3, "H": 4, "V": v, "P": p, "S": p + 2}

    def elaborate(self, platform):
        m = Module()
        shared = self.shared
        m.submodules.memory = memory = BlockRam(self.weight_bits, self.depth)
        m.d.comb += [
            memory.read0.eq(shared.read),
            memory.address0.eq(shared.address),
            memory.write.eq(self.write),
            memory.write_address.eq(self.write_address),
            memory.data.eq(self.write_data),
        ]
        # A sweep visits each address once and a result comes back many cycles later, so the
        # memory needs no defined answer to a read and a write of one address; the group checks.

        # A lane without a line in the next block stays silent there.
        take = self._own(m, shared.take, "take")
        next_train = _loaded(m, self.load, shared.load_train, take, "train")
        next_sign = _loaded(m, self.load, shared.load_sign, take, "sign")
        next_code = _loaded(m, self.load_code, shared.load_code, shared.take_code, "code")
        train, sign = (
            Signal.like(next_one, reset_less=True) for next_one in (next_train, next_sign)
        )
        with m.If(take):
            m.d.sync += [train.eq(next_train), sign.eq(next_sign)]

        word = memory.o0.as_signed()
        # A cell is hit in two cycles, for so many slots are several LUTs: four slots, then all.
        mask = shared.serial_train & train
        down = shared.serial_sign == sign
        # Words have no reset: one net to all of them would be the longest.
        stored, fired = Signal.like(word, reset_less=True), Signal(-(-SLOTS // 4), reset_less=True)
        m.d.comb += self.weight.eq(delayed(m, stored, "hit_weight"))
        m.d.sync += [
            stored.eq(self._joined(m, word) if self.read_physics else word),
            fired.eq(Cat(mask[k : k + 4].any() for k in range(0, SLOTS, 4))),
            self.hit.eq(fired.any() & delayed(m, ~(shared.paired & (down ^ shared.minus)), "way")),
        ]

        seen = stored
        if self.write_noise:
            next_key = _loaded(m, self.load_key, shared.load_key, shared.take_key, "key")
            key = Signal.like(next_key, reset_less=True)
            with m.If(shared.take_key):
                m.d.sync += key.eq(next_key)
            m.submodules.visible = visible = VisibleWeight(self.weight_bits)
            m.d.comb += [
                visible.weight.eq(stored),
                visible.serial_key.eq(shared.serial_key),
                visible.lane_key.eq(key),
                visible.turned.eq(shared.turned),
                visible.visible.eq(shared.visible),
            ]
            seen = visible.o

        # Chosen before its register, for the way to the multiplier is long.
        operand = Signal.like(shared.load_code, reset_less=True)
        with m.If(shared.take_code | shared.by_serial):
            m.d.sync += operand.eq(Mux(shared.by_serial, shared.serial_code, next_code))
        m.submodules.multiplier = multiplier = Multiplier(seen.shape(), operand.shape())
        m.d.comb += [
            multiplier.a.eq(self._sized(seen) if self.read_physics else seen),
            multiplier.b.eq(operand),
            self.product.eq(multiplier.o),
        ]

        fresh, first, capture, move = (
            self._own(m, shared[name], name) for name in ("fresh", "first", "capture", "move")
        )
        # A register: a multiplier block is slow, and often far.
        product = delayed(m, self.product, "added")
        total = Signal.like(self.chain_o, reset_less=True)
        with m.If(fresh):
            m.d.sync += total.eq(Mux(first, 0, total) + product)
        chain = Signal.like(self.chain_o, reset_less=True)
        m.d.comb += self.chain_o.eq(chain)
        with m.If(move):
            m.d.sync += chain.eq(Mux(capture, total, self.chain_i))
        return m

    @staticmethod
    def _own(m, strobe, name):
        """Return a strobe of the group in a register of the lane's own: it enables wide words."""
        m.submodules[name] = register = OwnRegister()
        m.d.comb += register.i.eq(strobe)
        return register.o

    def _joined(self, m, word):
        """Return a word, or of a pair minus less plus device, where its magnitude is asked for.

        The plus device's word is one visit ahead. The lowest number and what is beyond it become
        the largest one, too: its magnitude is right, and stays so where write noise saturates.
        """
        shared, plus = self.shared, Signal.like(word, reset_less=True)
        difference = Signal(signed(self.weight_bits + 1))
        m.d.comb += difference.eq(word - plus)
        with m.If(shared.visit):
            m.d.sync += plus.eq(Mux(shared.paired & shared.magnitude & ~shared.minus, word, 0))
        top = (1 << (self.weight_bits - 1)) - 1
        beyond = (difference[-1] ^ difference[-2]) | (difference == -top - 1)
        return Mux(beyond, top, difference)

    def _sized(self, seen):
        """Return what is multiplied: a word, or its magnitude."""
        flip = (seen[-1] & self.shared.magnitude).replicate(len(seen))
        return (seen.as_unsigned() ^ flip).as_signed()


def _loaded(m, load, value, take, name):
    """Return the register of a line's value that the next block takes over, and clears then."""
    register = Signal.like(value, name=f"next_{name}")
    with m.If(load):
        m.d.sync += register.eq(value)
    with m.Elif(take):
        m.d.sync += register.eq(0)
    return register

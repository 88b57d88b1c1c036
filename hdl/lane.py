"""The lanes: memory, multiplier, accumulator, train AND; groups of lanes share a device unit.

One word of every lane is visited in each cycle. Stages of a visit, all held while ``advance`` is
low (a group has more than one cell to send to its device unit)::

    A  address            B  memory output         C  word register; operands
    D  product, mask      E  accumulate (backward), request to the device unit

Column values (DAC code, pulse train) stay in the lane for a whole block of rows and are loaded,
one lane a cycle, into a second set of registers while the block before is swept.
"""

from amaranth.hdl import Array, Cat, Module, Mux, Signal, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ohmgrid.config import SLOTS, Config
from ohmgrid.hdl.device import DeviceUnit
from ohmgrid.hdl.device_ports import REGISTERS, TABLE_WRITE
from ohmgrid.hdl.voltages import CODE_BITS, code_bits

__all__ = ["AdderTree", "Lane", "LaneGroup", "product_bits", "sum_bits"]


def product_bits(config: Config) -> int:
    """Return the width of conductance times code."""
    return config.formats.weight_bits + code_bits(config) - 1


def sum_bits(config: Config) -> int:
    """Return the width of an exact sum of products over the longest row or column."""
    lines = max(config.build.max_rows, config.build.max_cols)
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

    Members
    -------
    advance : In(1)
        Enables stages A to D.
    address, read : In: word to read in stage A
    take : In(1)
        The block's first row is in stage B: the loaded column becomes the current one.
    load, load_code, load_train, load_sign : In
        Writes the next column's values.
    backward : In(1)
        The multiplier takes the row's code (else the column's); constant during a sweep.
    magnitude : In(1)
        The multiplier takes the word's magnitude; a word below zero is complemented for it.
    row_code : In: the row's code, in stage B
    row_train, row_sign : In: the row's values, in stage C
    hit_valid : In(1): stage C holds cells to update
    served : In(1): the group sends this lane's cell to the device unit
    fresh, first : In(1)
        Stage D was loaded in this cycle (and with a block's first row).
    capture, shift : In(1)
        Moves the accumulator into the chain; shifts the chain by one lane.
    chain_i, chain_o : accumulators on their way out
    write, write_address, write_data : In: write port of the memory
    product : Out: stage D
    weight, mask, down, hit : Out: the cell to update, in stage D
    coming : Out(1): stage C holds one
    collision : Out(1): a write met the address being read (must never happen)
    """

    def __init__(self, depth, weight_bits, acc_bits, code_bits=CODE_BITS):
        self.depth, self.weight_bits = depth, weight_bits
        address = range(depth)
        super().__init__(
            {
                "advance": In(1),
                "address": In(address),
                "read": In(1),
                "take": In(1),
                "load": In(1),
                "load_code": In(signed(code_bits)),
                "load_train": In(SLOTS),
                "load_sign": In(1),
                "backward": In(1),
                "magnitude": In(1),
                "row_code": In(signed(code_bits)),
                "row_train": In(SLOTS),
                "row_sign": In(1),
                "hit_valid": In(1),
                "served": In(1),
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
                "mask": Out(SLOTS),
                "down": Out(1),
                "hit": Out(1),
                "coming": Out(1),
                "collision": Out(1),
            }
        )

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
        # memory needs no defined answer to a read and a write of one address.
        m.d.comb += self.collision.eq(
            self.write & self.advance & self.read & (self.write_address == self.address)
        )

        next_code = Signal.like(self.load_code)
        next_train = Signal(SLOTS)
        next_sign = Signal()
        train = Signal(SLOTS)
        sign = Signal()
        with m.If(self.load):
            m.d.sync += [
                next_code.eq(self.load_code),
                next_train.eq(self.load_train),
                next_sign.eq(self.load_sign),
            ]
        with m.If(self.take):
            m.d.sync += [
                train.eq(next_train),
                sign.eq(next_sign),
            ]
        # A lane without a column in the next block stays silent there. Loading begins later.
        taken = Signal()
        m.d.sync += taken.eq(self.take)
        with m.If(taken):
            m.d.sync += [next_code.eq(0), next_train.eq(0)]

        word = Signal(signed(self.weight_bits), reset_less=True)
        # Chosen before its register: the product fills the cycle that follows.
        operand = Signal.like(self.load_code, reset_less=True)
        flip = (word[-1] & self.magnitude).replicate(len(word))
        factor = (word.as_unsigned() ^ flip).as_signed()
        # Where a tree passes it on unadded two registers follow the block: see `Product`.
        product = Signal.like(self.product, reset_less=True)
        product.attrs["keep"] = 1
        m.d.comb += self.product.eq(product)
        with m.If(self.take | (self.backward & self.advance)):
            m.d.sync += operand.eq(Mux(self.backward, self.row_code, next_code))
        mask = self.row_train & train
        m.d.comb += self.coming.eq(mask.any() & self.hit_valid)
        with m.If(self.advance):
            m.d.sync += [
                word.eq(read.data),
                product.eq(factor * operand),
                self.weight.eq(word),
                self.mask.eq(mask),
                self.down.eq(self.row_sign == sign),
                self.hit.eq(self.coming),
            ]
        with m.Elif(self.served):
            m.d.sync += self.hit.eq(0)

        total = Signal.like(self.chain_o, reset_less=True)
        with m.If(self.fresh):
            m.d.sync += total.eq(Mux(self.first, 0, total) + product)
        with m.If(self.capture | self.shift):
            m.d.sync += self.chain_o.eq(Mux(self.capture, total, self.chain_i))
        return m


class LaneGroup(wiring.Component):
    """``count`` lanes and the device unit that they share.

    The cells of stage D that were hit go to the unit one a cycle, lowest lane first; the stage is
    held while more than one waits (`more`). Results do not depend on the order.

    Parameters
    ----------
    config : Config
    count : int
        Lanes of this group, 1..share.

    Members
    -------
    As `Lane`, shared by all lanes of the group or with an index; in addition:

    load, load_lane, load_parity : In
        Selects the lane whose column is loaded; keys go to the half ``load_parity``.
    load_static, load_cycle : In(64), In(32)
        The column's noise keys.
    parity : In(1)
        Half of the keys that belongs to the block in stage D.
    row_static, row_cycle : In(64), In(32)
        The row's noise keys, in stage D.
    address_d : In: address of the word in stage D
    host_write, host_lane, host_data : In
        Host access: writes a word of one lane at ``address``.
    registers, table_write : In: device parameters
    more, collision : Out(1)
    """

    def __init__(self, config, count):
        formats, build = config.formats, config.build
        self.config, self.count = config, count
        self.depth = build.max_blocks * build.max_rows
        self.acc_bits = sum_bits(config)
        self.lane_bits = max(1, (count - 1).bit_length())
        address = range(self.depth)
        members = {
            "advance": In(1),
            "address": In(address),
            "read": In(1),
            "take": In(1),
            "load": In(1),
            "load_lane": In(self.lane_bits),
            "load_parity": In(1),
            "load_code": In(signed(code_bits(config))),
            "load_train": In(SLOTS),
            "load_sign": In(1),
            "load_static": In(64),
            "load_cycle": In(32),
            "parity": In(1),
            "backward": In(1),
            "magnitude": In(1),
            "row_code": In(signed(code_bits(config))),
            "row_train": In(SLOTS),
            "row_sign": In(1),
            "row_static": In(64),
            "row_cycle": In(32),
            "address_d": In(address),
            "hit_valid": In(1),
            "fresh": In(1),
            "first": In(1),
            "capture": In(1),
            "shift": In(1),
            "chain_i": In(signed(self.acc_bits)),
            "chain_o": Out(signed(self.acc_bits)),
            "host_write": In(1),
            "host_lane": In(self.lane_bits),
            "host_data": In(signed(formats.weight_bits)),
            "registers": In(REGISTERS),
            "table_write": In(TABLE_WRITE),
            "more": Out(1),
            "collision": Out(1),
        }
        for k in range(count):
            members[f"product{k}"] = Out(signed(product_bits(config)))
        super().__init__(members)

    def _unit(self):
        return DeviceUnit(
            weight_bits=self.config.formats.weight_bits,
            lane_bits=self.lane_bits,
            address_bits=len(self.address),
            multipliers=self.config.build.multipliers,
            segments=self.config.formats.curve_segments,
            power=self.config.build.power,
        )

    @property
    def latency(self):
        """Cycles from stage D to the write of the result."""
        return 1 + self._unit().latency

    def elaborate(self, platform):
        m = Module()
        weight_bits = self.config.formats.weight_bits
        lanes = []
        for k in range(self.count):
            lane = Lane(self.depth, weight_bits, self.acc_bits, code_bits(self.config))
            m.submodules[f"lane{k}"] = lane
            lanes.append(lane)
        m.submodules.unit = unit = self._unit()
        m.submodules.keys = keys = Memory(shape=unsigned(96), depth=2 << self.lane_bits, init=[])
        key_write, key_read = keys.write_port(), keys.read_port(domain="comb")

        shared = [
            "advance", "address", "read", "take", "load_code", "load_train", "load_sign",
            "backward", "magnitude", "row_code", "row_train", "row_sign", "hit_valid", "fresh",
            "first", "capture", "shift",
        ]  # fmt: skip
        result = unit.result
        for k, lane in enumerate(lanes):
            m.d.comb += [getattr(lane, name).eq(getattr(self, name)) for name in shared]
            after = self.chain_i if k == self.count - 1 else lanes[k + 1].chain_o
            from_unit = result.valid & (result.lane == k)
            from_host = self.host_write & (self.host_lane == k)
            m.d.comb += [
                lane.load.eq(self.load & (self.load_lane == k)),
                lane.chain_i.eq(after),
                lane.write.eq(from_unit | from_host),
                lane.write_address.eq(Mux(self.host_write, self.address, result.address)),
                lane.write_data.eq(Mux(self.host_write, self.host_data, result.weight)),
                getattr(self, f"product{k}").eq(lane.product),
            ]
        m.d.comb += self.chain_o.eq(lanes[0].chain_o)
        m.d.sync += self.collision.eq(result.valid & Cat(lane.collision for lane in lanes).any())

        # Arbiter: the lowest lane that waits; more than one waiting holds the stage.
        hits = Cat(lane.hit for lane in lanes)
        chosen = Signal(self.lane_bits)
        for k in reversed(range(self.count)):
            with m.If(lanes[k].hit):
                m.d.comb += chosen.eq(k)
        # `more` moves every stage of every lane, so it is a register.
        rest = hits & (hits - 1)[: self.count]
        waiting = Mux(self.advance, Cat(lane.coming for lane in lanes), rest)
        m.d.sync += self.more.eq((waiting & (waiting - 1)[: self.count]).any())
        for k, lane in enumerate(lanes):
            m.d.comb += lane.served.eq(chosen == k)

        m.d.comb += [
            key_write.en.eq(self.load),
            key_write.addr.eq(Cat(self.load_lane, self.load_parity)),
            key_write.data.eq(Cat(self.load_static, self.load_cycle)),
            key_read.addr.eq(Cat(chosen, self.parity)),
            unit.registers.eq(self.registers),
            unit.table_write.eq(self.table_write),
        ]
        request = unit.request
        picked = Array(Cat(lane.weight, lane.mask, lane.down) for lane in lanes)[chosen]
        m.d.sync += [
            request.valid.eq(hits.any()),
            # No reference devices and no always-on column yet.
            request.reference.eq(0),
            request.bias.eq(0),
            Cat(request.weight, request.mask, request.down).eq(picked),
            request.row_static.eq(self.row_static),
            request.row_cycle.eq(self.row_cycle),
            Cat(request.col_static, request.col_cycle).eq(key_read.data),
            request.lane.eq(chosen),
            request.address.eq(self.address_d),
        ]
        return m

"""Lanes that share a device unit, and the stored weights of their reference devices."""

from amaranth.hdl import Array, Cat, Module, Mux, Signal, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ohmgrid.config import SLOTS
from ohmgrid.device_registers import VISIBLE_BITS
from ohmgrid.hdl.device import DeviceUnit
from ohmgrid.hdl.device_ports import REGISTERS, TABLE_WRITE
from ohmgrid.hdl.lane import Lane, product_bits, sum_bits
from ohmgrid.hdl.pipeline import delayed
from ohmgrid.hdl.voltages import code_bits
from ohmgrid.streams import CELL_BITS

__all__ = ["LaneGroup", "split_lane"]


class LaneGroup(wiring.Component):
    """``count`` lanes and the device unit that they share.

    The cells of stage D that were hit go to the unit one a cycle, lowest lane first; the stage is
    held while more than one waits (`more`). Results do not depend on the order. The references
    of all lanes lie in one memory, since one cell a cycle needs its own.

    Parameters
    ----------
    config : Config
    count : int
        Lanes of this group, 1..share.

    Members
    -------
    As `Lane`, shared by all lanes of the group or with an index; in addition:

    load : In(count)
        Strobe for each lane: its column is loaded.
    load_lane, load_parity : In
        That lane's number; its keys go to the half ``load_parity``.
    load_static, load_cycle, load_bias : In(64), In(32), In(1)
        The column's noise keys, and whether it is the always-on input.
    load_operand : In(count)
        Strobe for each lane: its code is loaded.
    parity : In(1)
        Half of the keys that belongs to the block in stage D.
    row_static, row_cycle : In(64), In(32)
        The row's noise keys, in stage D.
    address_d : In
        Address of the word in stage D.
    host_write, host_reference, host_lane, host_address, host_data : In
        Host access: writes a word, or a reference, of one lane.
    visit, visit_lane, visit_address : In
        While ``visit`` is high, the reference of that lane at that address is read.
    reference : Out(signed(weight_bits))
        One cycle later (a build with ``references``, else 0).
    registers, table_write : In
        Device parameters.
    more : Out(1)
        More than one cell of stage D waits.
    collision : Out(1)
        A result met the address being read (must never happen).
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
            "load": In(count),
            "load_lane": In(self.lane_bits),
            "load_parity": In(1),
            "load_train": In(SLOTS),
            "load_sign": In(1),
            "load_static": In(64),
            "load_cycle": In(32),
            "load_bias": In(1),
            "take_key": In(1),
            "load_operand": In(count),
            "load_code": In(signed(code_bits(config))),
            "take_operand": In(1),
            "parity": In(1),
            "backward": In(1),
            "magnitude": In(1),
            "row_code": In(signed(code_bits(config))),
            "row_train": In(SLOTS),
            "row_sign": In(1),
            "minus": In(1),
            "paired": In(1),
            "visible": In(VISIBLE_BITS),
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
            "host_reference": In(1),
            "host_lane": In(self.lane_bits),
            "host_address": In(address),
            "host_data": In(signed(formats.weight_bits)),
            "visit": In(1),
            "visit_lane": In(self.lane_bits),
            "visit_address": In(address),
            "reference": Out(signed(formats.weight_bits)),
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
    def lag(self):
        """Cycles from stage D to the product, as of a `Lane`."""
        return self._lane().lag

    def _lane(self):
        return Lane(
            self.depth,
            self.config.formats.weight_bits,
            self.acc_bits,
            code_bits(self.config),
            self.config.build.write_noise,
            self.config.build.read_physics,
        )

    @property
    def latency(self):
        """Cycles from stage D to the write of the result: choice of a lane, request, unit."""
        return 2 + self._unit().latency

    def elaborate(self, platform):
        m = Module()
        weight_bits, build = self.config.formats.weight_bits, self.config.build
        lanes = []
        for k in range(self.count):
            lane = self._lane()
            m.submodules[f"lane{k}"] = lane
            lanes.append(lane)
        m.submodules.unit = unit = self._unit()
        m.submodules.keys = keys = Memory(shape=unsigned(97), depth=2 << self.lane_bits, init=[])
        key_write, key_read = keys.write_port(), keys.read_port(domain="comb")

        shared = [
            "advance", "address", "read", "take", "load_train", "load_sign", "take_key",
            "load_code", "take_operand", "backward", "magnitude", "row_code", "row_train",
            "row_sign", "minus", "paired", "visible", "hit_valid", "fresh", "first", "capture",
            "shift",
        ]  # fmt: skip
        result = unit.result
        for k, lane in enumerate(lanes):
            m.d.comb += [getattr(lane, name).eq(getattr(self, name)) for name in shared]
            after = self.chain_i if k == self.count - 1 else lanes[k + 1].chain_o
            from_unit = result.valid & (result.lane == k)
            from_host = self.host_write & (self.host_lane == k)
            m.d.comb += [
                lane.load.eq(self.load[k]),
                lane.load_key.eq(self.load_static[:CELL_BITS]),
                lane.load_operand.eq(self.load_operand[k]),
                lane.row_key.eq(self.row_static[CELL_BITS:]),
                lane.chain_i.eq(after),
                lane.write.eq(from_unit | from_host),
                lane.write_address.eq(Mux(self.host_write, self.host_address, result.address)),
                lane.write_data.eq(Mux(self.host_write, self.host_data, result.weight)),
                getattr(self, f"product{k}").eq(lane.product),
            ]
        m.d.comb += [
            self.chain_o.eq(lanes[0].chain_o),
        ]
        # Where a result goes and what the lanes read, a cycle later: nothing waits for it.
        reads = delayed(m, self.read & self.advance, "reads")
        met = delayed(m, self.address, "read_at") == delayed(m, result.address, "written_at")
        m.d.sync += self.collision.eq(delayed(m, result.valid, "writes") & reads & met)

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

        # The choice is a register: the way from all lanes to one request is long.
        taken = delayed(m, chosen, "taken")
        parity, address = delayed(m, self.parity, "parity_e"), delayed(m, self.address_d, "at_e")
        waits = Signal()
        m.d.sync += waits.eq(hits.any())
        offers = Array(
            delayed(m, Cat(lane.weight, lane.mask, lane.down), f"offer{k}")
            for k, lane in enumerate(lanes)
        )
        m.d.comb += [
            key_write.en.eq(self.load.any()),
            key_write.addr.eq(Cat(self.load_lane, self.load_parity)),
            key_write.data.eq(Cat(self.load_static, self.load_cycle, self.load_bias)),
            key_read.addr.eq(Cat(taken, parity)),
            unit.registers.eq(self.registers),
            unit.table_write.eq(self.table_write),
        ]
        request = unit.request
        if build.references:
            m.submodules.references = references = Memory(
                shape=unsigned(weight_bits), depth=self.depth << self.lane_bits, init=[]
            )
            write, read = references.write_port(), references.read_port()
            m.d.comb += [
                write.en.eq(self.host_reference),
                write.addr.eq(Cat(self.host_lane, self.host_address)),
                write.data.eq(self.host_data),
                read.addr.eq(
                    Mux(self.visit, Cat(self.visit_lane, self.visit_address), Cat(taken, address))
                ),
                request.reference.eq(read.data),
                self.reference.eq(read.data),
            ]
        m.d.sync += [
            request.valid.eq(waits),
            Cat(request.weight, request.mask, request.down).eq(offers[taken]),
            request.row_static.eq(delayed(m, self.row_static, "row_static_e")),
            request.row_cycle.eq(delayed(m, self.row_cycle, "row_cycle_e")),
            Cat(request.col_static, request.col_cycle, request.bias).eq(key_read.data),
            request.lane.eq(taken),
            request.address.eq(address),
        ]
        return m


def split_lane(m, lane, build):
    """Return (group, lane within the group) of a lane number: constants' table, no divider."""
    group = Signal(range(max(2, build.units)))
    within = Signal(range(max(2, build.share)))
    with m.Switch(lane):
        for k in range(build.lanes):
            with m.Case(k):
                m.d.comb += [group.eq(k // build.share), within.eq(k % build.share)]
    return group, within

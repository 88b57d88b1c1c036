"""Lanes that share a device unit, and the stored weights of their reference devices."""

from amaranth.hdl import Cat, Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ohmgrid.config import SLOTS
from ohmgrid.hdl.array.lane import Lane, product_bits, sum_bits
from ohmgrid.hdl.array.visit_queue import VisitQueue, visit_layout
from ohmgrid.hdl.base.pipeline import delayed, strobe_after
from ohmgrid.hdl.device.ports import REGISTERS, TABLE_WRITE
from ohmgrid.hdl.device.step import DeviceUnit
from ohmgrid.hdl.periphery.voltages import code_bits
from ohmgrid.registers.device import VISIBLE_BITS
from ohmgrid.registers.noise import CELL_BITS

__all__ = ["LaneGroup", "split_lane"]


class LaneGroup(wiring.Component):
    """``count`` lanes and the device unit that they share.

    Visits with cells that were hit wait in a queue; the cells go to the unit one a cycle, lowest
    lane first. Results do not depend on the order. The references of all lanes lie in one memory,
    and so do the column keys and trains, since one cell a cycle needs its own.

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
    load_lane, load_bank : In
        That lane's number; its keys go to that bank.
    load_static, load_cycle, load_bias : In(64), In(32), In(1)
        The column's noise keys, and whether it is the always-on input.
    load_operand : In(count)
        Strobe for each lane: its code is loaded.
    fresh_d : In(1)
        Stage D holds a new visit.
    bank_d : In
        Bank of the keys of its block.
    train_d, sign_d, static_d, cycle_d : In(31), In(1), In(64), In(32)
        The row's train, its sign and noise keys, in stage D.
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
    next_bank : In
    bank_used, full, waits : Out(1)
        As of `VisitQueue`; a visit that came to stage D in the cycle after one in which it was
        `full` is the last one that it takes.
    collision : Out(1)
        A result met the address being read (must never happen).
    """

    def __init__(self, config, count):
        formats, build = config.formats, config.build
        self.config, self.count = config, count
        self.depth = build.max_blocks * build.max_rows
        self.acc_bits = sum_bits(config)
        self.lane_bits = max(1, (count - 1).bit_length())
        address, bank = range(self.depth), range(build.key_banks)
        members = {
            "advance": In(1),
            "address": In(address),
            "read": In(1),
            "take": In(1),
            "load": In(count),
            "load_lane": In(self.lane_bits),
            "load_bank": In(bank),
            "load_train": In(SLOTS),
            "load_sign": In(1),
            "load_static": In(64),
            "load_cycle": In(32),
            "load_bias": In(1),
            "take_key": In(1),
            "load_operand": In(count),
            "load_code": In(signed(code_bits(config))),
            "take_operand": In(1),
            "bank_d": In(bank),
            "next_bank": In(bank),
            "backward": In(1),
            "magnitude": In(1),
            "row_code": In(signed(code_bits(config))),
            "row_train": In(SLOTS),
            "row_sign": In(1),
            "minus": In(1),
            "paired": In(1),
            "visible": In(VISIBLE_BITS),
            "fresh_d": In(1),
            "train_d": In(SLOTS),
            "sign_d": In(1),
            "static_d": In(64),
            "cycle_d": In(32),
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
            "bank_used": Out(1),
            "full": Out(1),
            "waits": Out(1),
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
            curve=self.config.build.curve,
            references=self.config.build.references,
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
        """Cycles from a cell's way out of the queue to the write of the result: request, unit."""
        return 1 + self._unit().latency

    def elaborate(self, platform):
        m = Module()
        weight_bits, build = self.config.formats.weight_bits, self.config.build
        lanes = []
        for k in range(self.count):
            lane = self._lane()
            m.submodules[f"lane{k}"] = lane
            lanes.append(lane)
        m.submodules.unit = unit = self._unit()
        column = data.StructLayout(
            {"static": 64, "cycle": 32, "bias": 1, "train": SLOTS, "sign": 1}
        )
        m.submodules.columns = columns = Memory(
            shape=column, depth=build.key_banks << self.lane_bits, init=[]
        )
        load, keys = columns.write_port(), columns.read_port(domain="comb")
        # A cycle later than in the lanes, long before the first visit needs them: the way is long.
        loaded = [(name, load.data[name], getattr(self, f"load_{name}")) for name in column.members]
        visit = visit_layout(self.count, weight_bits, len(self.address), len(self.bank_d))
        m.submodules.queue = queue = VisitQueue(visit, build.queue)

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
                lane.row_key.eq(self.static_d[CELL_BITS:]),
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

        m.d.comb += [
            load.en.eq(strobe_after(m, self.load.any(), 1, "loads")),
            load.addr.eq(delayed(m, Cat(self.load_lane, self.load_bank), "load_to")),
            *(field.eq(delayed(m, port, f"load_{name}")) for name, field, port in loaded),
            queue.push.eq(self.fresh_d & queue.i.hits.any()),
            queue.i.hits.eq(Cat(lane.hit for lane in lanes)),
            *(queue.i.weights[k].eq(lane.weight) for k, lane in enumerate(lanes)),
            queue.i.train.eq(self.train_d),
            queue.i.sign.eq(self.sign_d),
            queue.i.row_static.eq(self.static_d),
            queue.i.row_cycle.eq(self.cycle_d),
            queue.i.address.eq(self.address_d),
            queue.i.bank.eq(self.bank_d),
            queue.bank.eq(self.next_bank),
            self.bank_used.eq(queue.bank_used),
            self.full.eq(queue.full),
            self.waits.eq(queue.waits),
            keys.addr.eq(Cat(queue.lane, queue.o.bank)),
            unit.registers.eq(self.registers),
            unit.table_write.eq(self.table_write),
        ]
        request, lane = unit.request, queue.lane
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
                    Mux(
                        self.visit,
                        Cat(self.visit_lane, self.visit_address),
                        Cat(lane, queue.o.address),
                    )
                ),
                request.reference.eq(read.data),
                self.reference.eq(read.data),
            ]
        m.d.sync += [
            request.valid.eq(queue.valid),
            request.weight.eq(queue.o.weights[lane]),
            request.mask.eq(queue.o.train & keys.data.train),
            request.down.eq((queue.o.sign == keys.data.sign) & ~self.paired),
            request.row_static.eq(queue.o.row_static),
            request.row_cycle.eq(queue.o.row_cycle),
            request.col_static.eq(keys.data.static),
            request.col_cycle.eq(keys.data.cycle),
            request.bias.eq(keys.data.bias),
            request.lane.eq(lane),
            request.address.eq(queue.o.address),
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

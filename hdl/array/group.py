"""Lanes that share a device unit, and the stored weights of their reference devices.

The *serial line* of a cell comes with a visit, its *lane line* lies along a lane and is loaded for
a block: row and column, or, in an array that lies turned, column and row.
"""

from amaranth.hdl import Cat, Const, Module, Mux, Shape, Signal, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ohmgrid.hdl.array.bundles import (
    Token,
    branched,
    cell_layout,
    lane_line_layout,
    settings_layout,
    visit_layout,
)
from ohmgrid.hdl.array.lane import AdderTree, Lane, product_bits, sum_bits
from ohmgrid.hdl.array.visit_queue import VisitQueue, queued_layout
from ohmgrid.hdl.base.own_register import nearby
from ohmgrid.hdl.base.pipeline import delayed, moving, strobe_after
from ohmgrid.hdl.base.timed import Stages, Timed
from ohmgrid.hdl.device.step import DeviceUnit
from ohmgrid.hdl.device.tables import entries_layout, lookup_layout
from ohmgrid.hdl.periphery.values import LINE
from ohmgrid.hdl.periphery.voltages import code_bits
from ohmgrid.registers.device import COUNT_BITS
from ohmgrid.registers.noise import CELL_BITS

__all__ = ["LaneGroup", "split_lane"]


class LaneGroup(wiring.Component):
    """``count`` lanes and the device unit that they share.

    All that comes in passes a register here first. Visits with cells that were hit wait in a queue;
    the cells go to the unit one a cycle, lowest lane first. Results do not depend on the order. The
    references of all lanes lie in one memory, and so do the lane lines' keys and trains, since one
    cell a cycle needs its own. The unit's ``tables`` are outside, where two groups share them.

    Parameters
    ----------
    config : Config
    count : int
        Lanes of this group, 1..share.

    Members
    -------
    visit : In stream of `ohmgrid.hdl.array.bundles.visit_layout`
    load : In stream of `ohmgrid.hdl.array.bundles.lane_line_layout`
    settings : In(settings_layout)
    cell : In(cell_layout)
        A cell that is written.
    shift : In(1)
        Moves the chain on by one lane, in the cycle after the next.
    visited : In
        While ``active`` is high, the reference of ``lane`` at ``address`` is read.
    reference : Out(signed(weight_bits))
        One cycle later (a build with ``references``, else 0).
    lookup : Out(lookup_layout)
    entries : In(entries_layout)
        As of `DeviceUnit`.
    up, down : Out(COUNT_BITS)
        Pulses that raise a weight, and that lower one, of the cell that left the queue some cycles
        before.
    chain_i, chain_o : accumulators on their way out
    sum : Out
        Sum of the lanes' products.
    returned : Out(2)
        Places in the queue that are free again.
    bank_used, waits : Out(1)
        As of `VisitQueue`, for the bank ``settings.next_bank``, from registers.
    collision : Out(1)
        A result met the address being read (must never happen).
    """

    def __init__(self, config, count):
        formats, build = config.formats, config.build
        self.config, self.count = config, count
        self.depth = build.words
        self.acc_bits = sum_bits(config)
        self.lane_bits = max(1, (count - 1).bit_length())
        self._levels = (min(build.share, build.lanes) - 1).bit_length()
        word = signed(formats.weight_bits)
        self.tables = self._unit().tables
        super().__init__(
            {
                "visit": In(stream.Signature(visit_layout(config), always_ready=True)),
                "load": In(stream.Signature(lane_line_layout(config, count), always_ready=True)),
                "settings": In(settings_layout(config)),
                "cell": In(cell_layout(config, self.lane_bits)),
                "shift": In(1),
                "visited": In(
                    data.StructLayout(
                        {"active": 1, "lane": self.lane_bits, "address": range(self.depth)}
                    )
                ),
                "reference": Out(word),
                "lookup": Out(lookup_layout(self.tables)),
                "entries": In(entries_layout(self.tables)),
                "up": Out(COUNT_BITS),
                "down": Out(COUNT_BITS),
                "chain_i": In(signed(self.acc_bits)),
                "chain_o": Out(signed(self.acc_bits)),
                "sum": Out(signed(product_bits(config) + self._levels)),
                "returned": Out(2),
                "bank_used": Out(1),
                "waits": Out(1),
                "collision": Out(1),
            }
        )

    def _unit(self):
        return DeviceUnit(
            weight_bits=self.config.formats.weight_bits,
            lane_bits=self.lane_bits,
            address_bits=Shape.cast(range(self.depth)).width,
            multipliers=self.config.build.multipliers,
            segments=self.config.formats.curve_segments,
            power=self.config.build.power,
            curve=self.config.build.curve,
            tables=self.config.build.step_tables,
            references=self.config.build.references,
            lut_delays=self.config.build.lut_delays,
        )

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
    def times(self):
        """Cycles from a visit's coming to each stage of a `Lane`, to the ``sum`` and the chain."""
        times = {stage: 1 + time for stage, time in self._lane().times.items()}
        return times | {"sum": times["P"] + self._levels, "chain": times["S"] + 1}

    @property
    def latency(self):
        """Cycles from when a cell leaves the queue until it is written: unit and registers."""
        return 3 + self._unit().latency

    def elaborate(self, platform):
        m = Module()
        lanes = []
        for k in range(self.count):
            m.submodules[f"lane{k}"] = lane = self._lane()
            lanes.append(lane)
        m.submodules.unit = unit = self._unit()
        m.submodules.tree = tree = AdderTree(self.count, product_bits(self.config), len(self.sum))
        # Settings, too: what is constant for long is no less far away.
        settings = nearby(m, self.settings, "settings")
        cell = nearby(m, self.cell, "cell")

        times = self.times
        visit = branched(m, Token(self.visit.valid, self.visit.payload), "visit")
        load = branched(m, Token(self.load.valid, self.load.payload), "load")
        # What travels on from stage A, each to where it is needed.
        # A register, and none too late: `branched` takes a cycle, too.
        moves = strobe_after(
            m, moving(m, self.visit.valid | self.load.valid, times["S"]), 1, "moves"
        )
        pipe = Stages(m, moves, blocks=False)
        here = times["A"]
        serial = {name: Timed(visit.payload[name], here) for name in visit.payload.shape().members}
        serial |= {
            "valid": Timed(visit.valid, here, strobe=True),
            "begins": Timed(visit.valid & visit.payload.first, here, strobe=True),
            "ends": Timed(visit.valid & visit.payload.last, here, strobe=True),
            "updates": Timed(visit.valid & settings.update, here, strobe=True),
        }
        line = {name: Timed(load.payload[name], here) for name in ("code", *LINE)}
        loads = Timed(load.payload.lanes & load.valid.replicate(self.count), here, strobe=True)

        at = pipe.at
        before_v = times["V"] - 1
        shared, ends = Signal(lanes[0].shared.shape()), at(serial["ends"], times["S"] - 1)
        # For the write noise: upper half of the row's key, lower half of the column's.
        load_key, serial_key = at(line["static"], times["C"]), at(serial["static"], times["D"])
        turned = settings.turned
        m.d.comb += [
            shared.read.eq(visit.valid),
            shared.address.eq(visit.payload.address),
            shared.take.eq(at(serial["begins"], times["A"])),
            shared.load_train.eq(at(line["train"], times["B"])),
            shared.load_sign.eq(at(line["sign"], times["B"])),
            shared.visit.eq(at(serial["valid"], times["C"])),
            shared.serial_train.eq(at(serial["train"], times["C"])),
            shared.serial_sign.eq(at(serial["sign"], times["C"])),
            shared.minus.eq(at(serial["minus"], times["C"])),
            shared.take_key.eq(at(serial["begins"], times["C"])),
            shared.load_key.eq(Mux(turned, load_key[CELL_BITS:], load_key[:CELL_BITS])),
            shared.serial_key.eq(Mux(turned, serial_key[:CELL_BITS], serial_key[CELL_BITS:])),
            shared.take_code.eq(at(serial["begins"], before_v)),
            shared.load_code.eq(at(line["code"], before_v)),
            shared.serial_code.eq(at(serial["code"], before_v)),
            shared.fresh.eq(at(serial["valid"], times["P"])),
            shared.first.eq(at(serial["begins"], times["P"])),
            shared.capture.eq(ends & settings.by_row),
            shared.move.eq((ends & settings.by_row) | self.shift),
            shared.by_serial.eq(settings.by_row),
            shared.turned.eq(turned),
            shared.magnitude.eq(settings.magnitude),
            shared.paired.eq(settings.paired),
            shared.visible.eq(settings.visible),
        ]
        result = unit.result
        # From registers, to all the lanes' memories.
        address = delayed(m, Mux(cell.word, cell.address, result.address), "write_address")
        word = delayed(m, Mux(cell.word, cell.data, result.weight), "write_data")
        for k, lane in enumerate(lanes):
            after = self.chain_i if k == self.count - 1 else lanes[k + 1].chain_o
            from_unit = result.valid & (result.lane == k)
            from_host = cell.word & (cell.lane == k)
            m.d.comb += [
                lane.shared.eq(shared),
                lane.load.eq(at(loads, times["B"])[k]),
                lane.load_key.eq(at(loads, times["C"])[k]),
                lane.load_code.eq(at(loads, before_v)[k]),
                lane.chain_i.eq(after),
                lane.write.eq(strobe_after(m, from_unit | from_host, 1, f"writes{k}")),
                lane.write_address.eq(address),
                lane.write_data.eq(word),
                getattr(tree, f"i{k}").eq(lane.product),
            ]
        m.d.comb += [
            self.chain_o.eq(lanes[0].chain_o),
            self.sum.eq(delayed(m, tree.o, "sum", self._levels - tree.latency)),
        ]
        # Where a result goes and what the lanes read, a cycle later: nothing waits for it.
        reads = delayed(m, visit.valid, "reads")
        met = delayed(m, visit.payload.address, "read_at") == delayed(
            m, result.address, "written_at", 2
        )
        m.d.sync += self.collision.eq(strobe_after(m, result.valid, 2, "writes") & reads & met)
        self._update(m, pipe, serial, load, lanes, unit, settings, cell)
        return m

    def _update(self, m, pipe, serial, load, lanes, unit, settings, cell):
        """Queue the visits with hits, and send their cells to the unit."""
        build, formats = self.config.build, self.config.formats
        m.submodules.lines = lines = Memory(
            shape=data.StructLayout({**LINE, "bias": 1}),
            depth=build.key_banks << self.lane_bits,
            init=[],
        )
        write, keys = lines.write_port(), lines.read_port(domain="comb")
        lanes_of_bit = (
            [load.payload.lanes[k] for k in range(self.count) if k >> bit & 1]
            for bit in range(self.lane_bits)
        )
        number = Cat(Cat(each).any() if each else Const(0, 1) for each in lanes_of_bit)

        def in_bank(lane, line):
            """Return where the keys of a lane's line are: of pairs, two banks hold them."""
            halves = Cat(line.minus, line.bank)[: len(line.bank)]
            return Cat(lane, Mux(settings.lane_paired, halves, line.bank))

        # From registers, for these memories are many; no cell needs a line as soon as it comes.
        m.d.comb += write.en.eq(strobe_after(m, load.valid & load.payload.lanes.any(), 1, "kept"))
        m.d.comb += [
            write.addr.eq(delayed(m, in_bank(number, load.payload), "kept_at")),
            *(
                write.data[name].eq(delayed(m, load.payload[name], f"kept_{name}"))
                for name in write.data.shape().members
            ),
        ]
        visit = queued_layout(
            self.count,
            formats.weight_bits,
            len(self.cell.address),
            len(self.settings.next_bank),
        )
        m.submodules.queue = queue = VisitQueue(visit, build.queue)
        hit = self.times["H"]
        m.d.comb += [
            queue.valid.eq(pipe.at(serial["updates"], hit)),
            queue.hits.eq(Cat(lane.hit for lane in lanes)),
            *(queue.i.weights[k].eq(lane.weight) for k, lane in enumerate(lanes)),
            *(
                queue.i[name].eq(pipe.at(serial[name], hit))
                for name in visit.members
                if name != "weights"
            ),
            queue.bank.eq(settings.next_bank),
            # In the cycle after that in which a cell leaves the queue.
            keys.addr.eq(delayed(m, in_bank(queue.lane, queue.o), "keys_at")),
            unit.registers.eq(settings.registers),
            unit.turned.eq(settings.turned),
            self.lookup.eq(unit.lookup),
            unit.entries.eq(self.entries),
        ]
        m.d.sync += [
            self.returned.eq(queue.missed + queue.popped),
            self.bank_used.eq(queue.bank_used),
            self.waits.eq(queue.waits),
        ]
        request, lane = unit.request, delayed(m, queue.lane, "picked_lane")
        picked = {
            name: delayed(m, queue.o[name], f"picked_{name}")
            for name in ("train", "sign", "static", "cycle", "bias", "address")
        }
        if build.references:
            m.submodules.references = references = Memory(
                shape=unsigned(formats.weight_bits), depth=self.depth << self.lane_bits, init=[]
            )
            write, read = references.write_port(), references.read_port()
            visited = self.visited
            m.d.comb += [
                write.en.eq(cell.reference),
                write.addr.eq(Cat(cell.lane, cell.address)),
                write.data.eq(cell.data),
                read.addr.eq(
                    Mux(
                        visited.active,
                        Cat(visited.lane, visited.address),
                        Cat(lane, picked["address"]),
                    )
                ),
                request.reference.eq(read.data),
                self.reference.eq(read.data),
            ]
        # Equal signs of activation and error lower the weight, which is what passes see of a cell.
        lowers = (picked["sign"] == keys.data.sign) ^ settings.inverted
        asked = {
            "weight": delayed(m, queue.o.weights[queue.lane], "picked_weight"),
            "mask": picked["train"] & keys.data.train,
            "down": lowers & ~settings.paired,
            "serial_static": picked["static"],
            "serial_cycle": picked["cycle"],
            "lane_static": keys.data.static,
            "lane_cycle": keys.data.cycle,
            "bias": keys.data.bias | picked["bias"],
            "lane": lane,
            "address": picked["address"],
        }
        m.d.comb += [
            request.valid.eq(strobe_after(m, queue.o_valid, 2, "picked")),
            *(request[name].eq(delayed(m, one, f"asked_{name}")) for name, one in asked.items()),
        ]
        # Of a pair, too.
        cycles = unit.pulses_time
        late = delayed(m, lowers, "lowers", cycles + 1)
        came = strobe_after(m, request.valid, cycles, "counted")
        m.d.sync += [
            self.up.eq(Mux(came & ~late, unit.pulses, 0)),
            self.down.eq(Mux(came & late, unit.pulses, 0)),
        ]


def split_lane(m, lane, build):
    """Return (group, lane within the group) of a lane number: constants' table, no divider."""
    group = Signal(range(max(2, build.units)))
    within = Signal(range(max(2, build.share)))
    with m.Switch(lane):
        for k in range(build.lanes):
            with m.Case(k):
                m.d.comb += [group.eq(k // build.share), within.eq(k % build.share)]
    return group, within

"""The sweep: visits to words of all lanes, block by block, in the order of serial lines.

Lane line j lies in lane ``j mod lanes`` in block ``j div lanes``; while a block is swept, the next
one's lines are loaded. Sums over serial lines, and updates, need only those that have a code or a
pulse: such a sweep visits the lines of a list. A pair of devices takes two visits, plus before
minus; a cell's second word, which is added several times, one for each, but in updates none.

What is sent is never held on its way: a visit of an update is sent when each group's queue has a
place for it, all those on their way counted (credits). The twin, which counts the cycles, is
`ohmgrid.model.array.sweep`.
"""

from itertools import pairwise

from amaranth.hdl import Cat, Const, Module, Mux, Signal, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ohmgrid.config import Config
from ohmgrid.hdl.array.bundles import array_layout, load_layout, place_layout, sweep_layout
from ohmgrid.hdl.base.pipeline import delayed, strobe_after
from ohmgrid.hdl.periphery.values import list_layout

__all__ = ["Sweep"]

FILL = 3
"""Cycles from the number of a visit within its block to its address."""
COUNTED = 3
"""Cycles from the last line of a list until it is known which visit is the last."""
AHEAD = 3
"""Lines that a list must have beyond the next one, while it grows."""
BANK_SEEN = 3
"""Cycles from a change of `next_bank` until `bank_used` is about it."""


class Sweep(wiring.Component):
    """Addresses and flags of the visits, and the loading of lane lines.

    Parameters
    ----------
    config : Config
    settles : int
        Cycles from a visit of an update until `bank_used` knows of it.

    Members
    -------
    start : In(1)
        Strobe: begin the sweep that ``array`` and ``job`` describe.
    array : In(array_layout), job : In(sweep_layout)
        Constant during a sweep.
    codes, pulses : In(list_layout)
        What a sweep with ``chain`` visits, and one with ``update``: of the latter, each array has a
        list of its own, for it can be made while another array is at work. An update of no line
        does nothing.
    coding : In(1)
        The list of codes still grows: visits follow it.
    bare : In(1)
        Sums in the lanes need nothing of their lines: none is loaded in a sweep with ``chain``.
    go : In(1)
        Another visit of an update may be sent.
    bank_used : In(1)
        A visit waits that needs the keys in bank ``next_bank``: that bank is not loaded. It can be
        high for older visits only, and so stays low.
    busy : Out(1)
        High from the cycle after `start` until the last visit is sent.
    visit : Out stream of `ohmgrid.hdl.array.bundles.place_layout`
    load : Out stream of `ohmgrid.hdl.array.bundles.load_layout`
        The lane line of this number is sent:
    load_line : Out
    next_bank : Out
        Bank of the block that is loaded next, once a block is being loaded.
    held : Out(1)
        A visit waits, for there is no `go`; a cycle later.
    lane_paired : Out(1)
        Lane lines are sent twice, with the keys of both devices.
    """

    def __init__(self, config: Config, settles: int):
        build = config.build
        self.lanes, self._lines, self._words = build.lanes, build.lines, build.words
        self._banks, self._settles = build.key_banks, settles
        self._lists, self._most = build.inputs + build.outputs, build.significance
        super().__init__(
            {
                "start": In(1),
                "array": In(array_layout(config)),
                "job": In(sweep_layout(config)),
                "codes": In(list_layout(config)),
                "pulses": In(list_layout(config)),
                "coding": In(1),
                "bare": In(1),
                "go": In(1),
                "bank_used": In(1),
                "busy": Out(1),
                "visit": Out(
                    stream.Signature(
                        place_layout(build.lines, build.words, build.key_banks), always_ready=True
                    )
                ),
                "load": Out(
                    stream.Signature(load_layout(build.lanes, build.key_banks), always_ready=True)
                ),
                "load_line": Out(range(build.lines)),
                "next_bank": Out(range(build.key_banks)),
                "held": Out(1),
                "lane_paired": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        array, job = self.array, self.job
        # What follows from settings alone comes from registers: they are there long before a start.
        # Both devices of a pair are visited, or one of them; turned, lane lines have keys for each.
        # A cell's second word is visited as often as it counts, but in updates.
        others, stride = Signal(range(max(1, self._most) + 1)), Signal(range(self._words))
        listed, twice, bare = Signal(), Signal(), Signal()
        own = array.paired & ~(job.split & array.turned)
        beside = array.significance if self._most else Const(0)
        doubled = array.paired | (beside != 0)
        m.d.sync += [
            others.eq(Mux(job.update, 0, beside) | own),
            stride.eq(array.serial << doubled),
            listed.eq(job.chain | job.update),
            bare.eq(job.chain & self.bare),
            self.lane_paired.eq(array.paired & array.turned & ~job.split),
            twice.eq(self.lane_paired & job.update),
        ]
        issuing, loaded = Signal(), Signal()
        bank, in_first_block = Signal(range(self._banks)), Signal()
        lines_left = Signal.like(array.lane_lines)
        # Whether the block at work is the last one, in its first visit already.
        last_block, single = Signal(), Signal()

        drained = Signal(init=1)
        step, count = self.visit.valid, Signal(range(self._lines + 1))
        ready = Signal()
        m.d.sync += self.held.eq(ready & ~step)
        first, last, filling, there = self._walk(m, step, count, listed, others, doubled, stride)
        m.d.comb += [
            ready.eq(issuing & ~filling & there & (~first | loaded) & (~last | drained)),
            step.eq(ready & (self.go | ~job.update)),
            self.visit.payload.first.eq(first),
            self.visit.payload.last.eq(last),
            self.visit.payload.bank.eq(bank),
            self.visit.payload.start.eq(in_first_block),
            self.visit.payload.final.eq(last_block),
            self.busy.eq(issuing),
        ]
        with m.If(step & first):
            m.d.sync += loaded.eq(bare)
        with m.If(step & last):
            m.d.sync += [bank.eq(bank + 1), in_first_block.eq(0)]
            with m.If(last_block):
                m.d.sync += issuing.eq(0)
            with m.Else():
                m.d.sync += [
                    lines_left.eq(lines_left - self.lanes),
                    last_block.eq(lines_left <= 2 * self.lanes),
                ]

        # A block's sums leave by the chain, one a cycle, before the next ones are there.
        draining = Signal(range(self.lanes))
        with m.If(step & last & job.chain):
            m.d.sync += [draining.eq(self.lanes - 1), drained.eq(self.lanes == 1)]
        with m.Elif(draining != 0):
            m.d.sync += [draining.eq(draining - 1), drained.eq(draining == 1)]

        # Loader: a block's first visit lets the next block be loaded, if there is one and the keys
        # of the block whose bank it takes are not needed any more: all its visits have come to the
        # queues, and none waits there. Keys of pairs take two banks.
        lane, to_load = Signal(self.lanes), Signal.like(array.lane_lines)
        second, wanted = Signal(), Signal()
        load_bank = Signal.like(self.next_bank)
        unsettled = Signal(range(self._banks + 1))
        most = Signal(range(self._banks + 1))
        m.d.sync += most.eq(Mux(self.lane_paired, self._banks // 2, self._banks))
        fresh = Signal(BANK_SEEN)
        settled = strobe_after(m, step & last & job.update, self._settles, "settled")
        free = ~job.update | ((unsettled != most) & ~fresh.any() & ~self.bank_used)
        begins = wanted & free
        ends = (lane[-1] | (to_load == 1)) & (second | ~twice)
        m.d.comb += [
            self.load.valid.eq(lane.any() & (to_load != 0)),
            self.load.payload.lanes.eq(lane),
            self.load.payload.bank.eq(load_bank),
            self.load.payload.minus.eq(Mux(job.split, job.minus, second)),
            self.load.payload.bias.eq((to_load == 1) & ~array.turned & self._ends_array(m)),
        ]
        m.d.sync += [
            fresh.eq(Cat(begins, fresh)),
            unsettled.eq(unsettled + begins - settled),
        ]
        with m.If(lane.any()):
            m.d.sync += second.eq(twice & ~second)
            with m.If(second | ~twice):
                m.d.sync += lane.eq(lane << 1)
                with m.If(to_load != 0):
                    m.d.sync += [
                        self.load_line.eq(self.load_line + 1),
                        to_load.eq(to_load - 1),
                    ]
            with m.If(ends):
                m.d.sync += [lane.eq(0), loaded.eq(1)]
        with m.If(step & first & (to_load != 0)):
            m.d.sync += wanted.eq(1)
        # Never with the above: a block that is wanted is not there, so no visit goes to it.
        with m.If(begins):
            m.d.sync += [
                lane.eq(1),
                wanted.eq(0),
                load_bank.eq(self.next_bank),
                self.next_bank.eq(self.next_bank + 1),
            ]

        # A block alone has what is left of the array behind it, at most as many lines as lanes.
        behind = Signal.like(array.lane_lines)
        m.d.sync += behind.eq(array.lane_lines - job.before)
        in_sweep = Mux(job.block, Mux(behind > self.lanes, self.lanes, behind), array.lane_lines)
        m.d.sync += single.eq(in_sweep <= self.lanes)
        # A register, for it starts all of this.
        idle = Signal()
        m.d.sync += idle.eq(job.update & (job.listed == 0))
        with m.If(self.start & ~idle):
            m.d.sync += [
                issuing.eq(1),
                loaded.eq(bare),
                lane.eq(~bare),
                second.eq(0),
                wanted.eq(0),
                load_bank.eq(0),
                self.next_bank.eq(1),
                unsettled.eq(1),
                to_load.eq(Mux(bare, 0, in_sweep)),
                lines_left.eq(in_sweep),
                last_block.eq(single),
                self.load_line.eq(array.lane_line + Mux(job.block, job.before, 0)),
                bank.eq(0),
                in_first_block.eq(1),
            ]
        return m

    def _ends_array(self, m):
        """Return whether the last line of the sweep is the last one of the array."""
        ends = Signal()
        m.d.sync += ends.eq(
            ~self.job.block | (self.job.before + self.lanes >= self.array.lane_lines)
        )
        return ends

    def _walk(self, m, step, count, listed, others, doubled, stride):
        """Move line and address of the next visit on.

        Serial lines are numbered within a block, each takes a visit and ``others``. Line and
        address follow `FILL` cycles behind: after a start, as many steps come unasked. Return
        whether the visit is a block's first one, whether its last one, whether these steps come,
        and whether the line of another one is known.
        """
        array, job, payload = self.array, self.job, self.visit.payload
        coded, pulsed = (
            Memory(shape=unsigned(len(payload.line)), depth=depth, init=[])
            for depth in (self._lines, self._lists)
        )
        m.submodules.codes, m.submodules.pulses = coded, pulsed
        put = pulsed.write_port()
        m.d.comb += [put.en.eq(self.pulses.put), put.data.eq(self.pulses.line)]
        with m.If(self.pulses.clear):
            m.d.sync += put.addr.eq(self.pulses.line)
        with m.Elif(self.pulses.put):
            m.d.sync += put.addr.eq(put.addr + 1)
        write, read, pulses = coded.write_port(), coded.read_port(), pulsed.read_port()
        m.d.comb += [
            write.en.eq(self.codes.put),
            write.addr.eq(count),
            write.data.eq(self.codes.line),
        ]
        with m.If(self.codes.clear):
            m.d.sync += count.eq(0)
        with m.Elif(self.codes.put):
            m.d.sync += count.eq(count + 1)

        number, final = (Signal(range(max(2, self._lines))) for _ in range(2))
        part, ends_line = Signal.like(others), Signal()
        m.d.comb += ends_line.eq(part == others)
        # For an empty list the first line is visited, in the place of one whose code is 0.
        empty, lines_in = Signal(), Signal.like(count)
        m.d.sync += [
            empty.eq(count == 0),
            lines_in.eq(
                Mux(job.update, job.listed, Mux(listed, Mux(count == 0, 1, count), array.serial))
            ),
            final.eq(lines_in - 1),
        ]
        # A list that grows: the next line is there, and another one behind it, so it is not the
        # last. Two may be taken before it is seen that they are.
        whole, there = Signal(), Signal()
        coded_all = delayed(m, ~(self.coding & job.chain), "coded_all", COUNTED)
        m.d.sync += [
            whole.eq(coded_all),
            there.eq(coded_all | (number + AHEAD < count)),
        ]
        filling = Signal(FILL)
        with m.If(there):
            m.d.sync += filling.eq(filling << 1)
        move, base = step | (filling.any() & there), Signal(range(self._words))
        minus = (part != 0) | (job.split & job.minus)
        ends = (number == final) & ends_line & whole
        # Where in the array's own list; and the line of each visit without a list.
        place = Signal.like(pulses.addr)
        own = Signal.like(payload.line)
        last_line = Signal.like(payload.line)
        m.d.sync += last_line.eq(array.serial_line + array.serial - 1)
        fields = ("first", "last", "minus", "more")
        stages = [
            {name: Signal(reset_less=True, name=f"{name}{n}") for name in fields}
            for n in range(FILL)
        ]
        numbered, line = Signal.like(own), Signal.like(own)
        word = Mux(doubled, Cat(stages[1]["minus"], line), line)
        m.d.comb += [
            read.addr.eq(number),
            read.en.eq(move),
            pulses.addr.eq(place),
            pulses.en.eq(move),
            payload.minus.eq(stages[-1]["minus"]),
            payload.more.eq(stages[-1]["more"]),
            payload.none.eq(empty & job.chain),
        ]
        with m.If(move):
            m.d.sync += [
                part.eq(Mux(ends_line, 0, part + 1)),
                number.eq(Mux(ends, 0, number + ends_line)),
                place.eq(Mux(ends, job.list, place + ends_line)),
                own.eq(Mux(ends, array.serial_line, own + ends_line)),
                numbered.eq(own),
                line.eq(Mux(job.update, pulses.data, Mux(listed & ~empty, read.data, numbered))),
                payload.line.eq(line),
                payload.address.eq(base + word),
                payload.bias.eq((line == last_line) & array.turned),
                stages[0]["first"].eq((number == 0) & (part == 0)),
                stages[0]["more"].eq(~ends_line),
                stages[0]["last"].eq(ends),
                stages[0]["minus"].eq(minus),
            ]
            for before, after in pairwise(stages):
                m.d.sync += [after[name].eq(before[name]) for name in after]
            with m.If(stages[1]["last"]):
                m.d.sync += base.eq(base + stride)
        with m.If(self.start):
            m.d.sync += [
                filling.eq(1),
                number.eq(0),
                part.eq(0),
                place.eq(job.list),
                own.eq(array.serial_line),
                base.eq(array.origin + Mux(job.block, job.offset, 0)),
            ]
            # What is left there of another sweep waits for the lines, and ends no block.
            m.d.sync += [
                flag.eq(name == "first") for stage in stages for name, flag in stage.items()
            ]
        return stages[-1]["first"], stages[-1]["last"], filling.any(), there

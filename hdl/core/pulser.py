"""The pulser: plans updates, and makes their trains and keys, beside the array.

Arrays whose vectors are at the edge wait in a queue; of each it plans the pulses and makes trains,
keys and list of the first chunk while the lanes do something else (a PLAN step). An update that
was not planned asks for the same when its turn has come, and for what follows the first chunk, or
slot. In a refresh it writes back the differences of a column of pairs: then the devices of a pair
are lines of their own, with trains of their own.
"""

from amaranth.hdl import Array, Module, Mux, Signal, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ohmgrid.config import Config
from ohmgrid.hdl.core.array_table import planned_layout
from ohmgrid.hdl.core.jobs import COLUMN, KEY, REGISTERS, ROW, Work, spanning, update_key
from ohmgrid.hdl.periphery.passes import trains_layout
from ohmgrid.hdl.periphery.pulses import Planner
from ohmgrid.hdl.periphery.values import list_layout
from ohmgrid.periphery import SLOTS
from ohmgrid.registers.edge import BL_BITS, FACTOR_BITS, RATE_BITS
from ohmgrid.registers.steps import ARRAY_BITS

__all__ = ["WANTS", "Pulser", "plan_layout"]

QUEUE = 8
"""Arrays that wait: those of the deepest net."""

WANTS = data.StructLayout(
    {
        **{"valid": 1, "resume": 1, "next": 1, "keys": 1, "chunk": 3, "slot": BL_BITS},
        "size": range(SLOTS + 1),
    }
)
"""What an update asks for of the array at work.

``valid``, until nothing more is wanted: plan, trains and keys of the first chunk; or, to
``resume``, only what keys are made of. ``next`` (strobe): trains and keys of this ``chunk``, from
this ``slot`` on, of which it has ``size``; or ``keys`` of this slot alone.
"""


def plan_layout(config: Config) -> data.StructLayout:
    """Return the layout of a plan: slots; neither vector is 0; of `ohmgrid.counters.PulseCounts`,
    two flags; and how many serial lines have pulses."""
    return data.StructLayout(
        {
            **{"bl": BL_BITS, "active": 1, "below": 1, "clipped": 1},
            "listed": range(config.build.lines + 1),
        }
    )


PASSED = ("rows", "cols", "input_line", "output_line", "turned", "paired", "serial")
"""What passes have to know of an array,"""
PLANNED = ("bl", "below", "x_factor", "x_divisor", "d_factor", "d_divisor")
"""and of its plan."""


def work_layout(config: Config) -> data.StructLayout:
    """Return the layout of what passes are made from.

    The array ``at`` work, for an update that waits (``own``) or for a plan to keep; in a
    ``refresh``; with the signs of its lines; its place and its plan, and slots of the first chunk;
    ``active``: neither vector is 0; how many activations are not.
    """
    planned, edge = planned_layout(), config.formats.edge_bits
    return data.StructLayout(
        {
            **{"at": ARRAY_BITS, "own": 1, "refresh": 1, "chopped": 1},
            **{name: planned[name].shape for name in PASSED},
            **{"bl": BL_BITS, "below": 1, "size": range(SLOTS + 1), "active": 1, "mode": 2},
            **{"x_factor": FACTOR_BITS, "d_factor": FACTOR_BITS},
            **{"x_divisor": edge, "d_divisor": edge, "x_count": range(config.build.inputs + 1)},
        }
    )


class Pulser(wiring.Component):
    """Prepares updates, one after the other.

    Parameters
    ----------
    config : Config

    Members
    -------
    plan : In(1), room : Out(1)
        Strobe, if there is room: prepare the update of
    plan_array : In
        this array.
    array : In
        The array at work.
    forget, used : In(1)
        Strobes: all plans are void; that of the array at work has been used.
    rewritten : In(1)
        Strobe: activations of an array were written.
    pending, reading, ready : Out
        A bit for each array: it is waiting, or being planned; so that its activations are wanted;
        its plan is kept. Where trains may
        be longer than a chunk none is: what they come from may change before they are swept.
    kept : Out(plan_layout)
        That of the array at work.
    wants : In(WANTS), served : Out(1)
        Asks, until it is done (strobe);
    made : Out(plan_layout)
        then.
    refresh, column : In
        What is wanted is to write differences of this column back: rate and key are those of a
        refresh, rows those of devices.
    begins : Out(1)
        Strobe: passes begin for the array that was planned.
    at : Out, own : Out(1)
        The array that is being planned, and whether that is for the update that waits; of it:
    fetch : Out(1), fetched : In(1), entry : In(planned_layout)
        Strobe, what answers it, and then what is known of it;
    x_max, d_max, x_count : In
        the largest magnitudes of the vectors at the edge, and how many activations are not 0.
    registers : In(REGISTERS), one_chunk : In(1)
        Of its kind, and as of `ohmgrid.hdl.core.settings.Settings`.
    x_one, d_one : In
        1.0 at the edge.
    key : Out(KEY) ; key_done : In(1)
    learns, averaged : In(1) ; average : Out(1) ; rated : In(1), rate, rate_shift : In
        In a build with buffers: the array that is planned learns by itself, with signs of its
        lines, and at a rate of its averages. Strobe: have that made; it is (strobe), and this.
    lines : Out(trains_layout) ; lines_busy, lines_clipped : In(1) ; pulses : In(list_layout)
        As of `ohmgrid.hdl.periphery.lines.Lines`.
    """

    def __init__(self, config: Config):
        build, edge = config.build, config.formats.edge_bits
        self.config = config
        super().__init__(
            {
                "plan": In(1),
                "room": Out(1),
                "plan_array": In(ARRAY_BITS),
                "array": In(ARRAY_BITS),
                "forget": In(1),
                "used": In(1),
                "rewritten": In(1),
                "pending": Out(build.arrays),
                "reading": Out(build.arrays),
                "ready": Out(build.arrays),
                "kept": Out(plan_layout(config)),
                "wants": In(WANTS),
                "served": Out(1),
                "made": Out(plan_layout(config)),
                "refresh": In(1),
                "column": In(range(build.inputs)),
                "begins": Out(1),
                "at": Out(ARRAY_BITS),
                "own": Out(1),
                "fetch": Out(1),
                "fetched": In(1),
                "entry": In(planned_layout()),
                "x_max": In(edge - 1),
                "d_max": In(edge - 1),
                "x_count": In(range(build.inputs + 1)),
                "registers": In(REGISTERS),
                "one_chunk": In(1),
                "x_one": In(edge),
                "d_one": In(edge),
                "key": Out(KEY),
                "key_done": In(1),
                **dict.fromkeys(("learns", "averaged", "rated"), In(1)),
                "average": Out(1),
                "rate": In(RATE_BITS),
                "rate_shift": In(6),
                "lines": Out(trains_layout(config)),
                "lines_busy": In(1),
                "lines_clipped": In(1),
                "pulses": In(list_layout(config)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        entry, registers, wants, made = self.entry, self.registers, self.wants, self.made
        own, refresh = self.own, Signal()
        counts = self.config.build.counted_trains
        m.d.comb += refresh.eq(self.refresh & own)
        m.submodules.planner = planner = self._planner(m, refresh)
        m.submodules.queue = queue = SyncFIFO(width=ARRAY_BITS, depth=QUEUE)
        accepts = Signal()
        m.d.sync += accepts.eq(self.one_chunk)
        m.d.comb += [
            self.room.eq(queue.w_rdy),
            queue.w_en.eq(self.plan & accepts),
            queue.w_data.eq(self.plan_array),
        ]
        # The next update is planned while passes are made for the one before.
        work = Signal(work_layout(self.config))
        keep, x_kept, next_ready = Signal(), Signal(), Signal()
        self._remember(m, work, queue.w_en, keep, x_kept)
        m.d.comb += [made[name].eq(work[name]) for name in ("bl", "active", "below")]
        with m.If(self.pulses.clear):
            m.d.sync += made.listed.eq(0)
        with m.Elif(self.pulses.put):
            m.d.sync += made.listed.eq(made.listed + 1)

        waits, planned, keyed = Work(m), Signal(), Signal()
        # What an update wants is asked for once.
        asked = Signal()
        with m.If(~wants.valid):
            m.d.sync += asked.eq(0)
        with m.FSM(name="planning"):
            with m.State("IDLE"):
                asks = wants.valid & ~asked
                m.d.sync += [
                    *(planned.eq(0), keyed.eq(0), own.eq(asks)),
                    self.at.eq(Mux(asks, self.array, queue.r_data)),
                ]
                with m.If(asks | queue.r_rdy):
                    m.d.comb += queue.r_en.eq(~asks)
                    m.next = "FETCH"
            with m.State("FETCH"), waits.until_done(self.fetch, ~self.fetched):
                m.next = "PLAN"
                if self.config.build.buffers:
                    with m.If(self.averaged & ~refresh):
                        m.next = "AVERAGE"
            if self.config.build.buffers:
                with m.State("AVERAGE"), waits.until_done(self.average, ~self.rated):
                    m.next = "PLAN"
            with m.State("PLAN"):
                m.d.comb += [
                    *update_key(self.key, refresh, entry.update_step, self.column),
                    planner.start.eq(self.key.start),
                ]
                m.d.sync += [
                    planned.eq(planned | planner.done),
                    keyed.eq(keyed | self.key_done),
                ]
                with waits.until_done(self.key.start, ~(planned & keyed)):
                    m.next = "PLANNED"
            with m.State("PLANNED"):
                m.d.comb += next_ready.eq(1)
                with m.If(self.begins):
                    m.d.sync += asked.eq(asked | own)
                    m.next = "IDLE"
        with m.If(self.begins):
            m.d.sync += [
                *(work[name].eq(entry[name]) for name in PASSED),
                *(work[name].eq(getattr(planner, name)) for name in PLANNED),
                *(work.at.eq(self.at), work.own.eq(own), work.refresh.eq(refresh)),
                work.chopped.eq(self.learns & ~refresh),
                work.mode.eq(Mux(refresh | (not counts), 0, registers.pulse_type)),
                work.size.eq(Mux(planner.bl > SLOTS, SLOTS, planner.bl)),
                work.active.eq((self.x_max != 0) & (self.d_max != 0)),
                work.x_count.eq(self.x_count),
            ]

        steps, row = Work(m), Signal()
        self._pass(m, work, row)

        def passes(state, side, trains, after):
            """Make trains and keys of a side, or keys alone."""
            with m.State(state):
                m.d.comb += [row.eq(side == ROW), self.lines.trains.eq(trains)]
                with steps.until_done(self.lines.start, self.lines_busy):
                    if trains:
                        m.d.sync += made.clipped.eq(made.clipped | self.lines_clipped)
                    if trains and side == COLUMN:
                        m.d.comb += x_kept.eq(~work.own)
                    m.next = after

        with m.FSM(name="passes"):
            with m.State("IDLE"):
                m.d.sync += made.clipped.eq(0)
                m.d.comb += self.begins.eq(next_ready)
                with m.If(next_ready):
                    m.next = "COLUMN_TRAINS"
                    with m.If((planner.bl == 0) | (own & wants.resume)):
                        m.next = "DONE"
            # Activations first: they may be written over then.
            passes("COLUMN_TRAINS", COLUMN, 1, "ROW_TRAINS")
            passes("ROW_TRAINS", ROW, 1, "DONE")
            if not self.config.build.computed_keys:
                passes("COLUMN_KEYS", COLUMN, 0, "ROW_KEYS")
                passes("ROW_KEYS", ROW, 0, "DONE")
            with m.State("DONE"):
                m.d.comb += [self.served.eq(work.own), keep.eq(~work.own)]
                m.next = "IDLE"
                with m.If(work.own):
                    m.next = "HELD"
            # For the update at work, until it wants nothing more.
            with m.State("HELD"):
                with m.If(~wants.valid):
                    m.next = "IDLE"
                with m.Elif(wants.next):
                    m.next = "COLUMN_TRAINS"
                    if not self.config.build.computed_keys:
                        with m.If(wants.keys):
                            m.next = "COLUMN_KEYS"
        return m

    def _planner(self, m, refresh):
        """Return the planner, for an update or a refresh."""
        entry, registers = self.entry, self.registers
        planner = Planner(self.config.formats.edge_bits)

        def of_update(name):
            return Mux(refresh, registers[f"refresh_{name}"], entry[name])

        for name in ("rate", "rate_shift"):
            rate = of_update(name)
            if self.config.build.buffers:
                rate = Mux(self.averaged & ~refresh, getattr(self, name), rate)
            m.d.comb += getattr(planner, name).eq(rate)
        m.d.comb += [
            planner.x_one.eq(self.x_one),
            planner.d_one.eq(self.d_one),
            planner.x_max.eq(self.x_max),
            planner.d_max.eq(self.d_max),
            planner.fixed_bl.eq(of_update("bl")),
            planner.factor.eq(of_update("factor")),
            planner.desired_bl.eq(Mux(refresh, registers.refresh_desired_bl, registers.desired_bl)),
            *(
                getattr(planner, name).eq(registers[name] | refresh)
                for name in ("managed", "bl_managed")
            ),
        ]
        return planner

    def _pass(self, m, work, row):
        """Say which lines a pass over rows, or columns, goes through, and at which pace."""
        lines, wants, slots = self.lines, self.wants, 4 * self.config.build.train_groups
        more = work.own & (wants.chunk != 0)
        size = Mux(more, wants.size, work.size)
        hashed = Array(max(1, -(-count // slots)) for count in range(SLOTS + 1))[size]
        # A deterministic train of a row is followed from its first slot on.
        followed = Mux(row, Mux(work.own, wants.slot, 0) + size, 1)
        m.d.comb += [
            *spanning(lines, work, row, devices=1, split=work.refresh),
            lines.paired.eq(work.paired & ~work.refresh),
            *(lines.turned.eq(work.turned), lines.chopped.eq(work.chopped)),
            lines.factor.eq(Mux(row, work.d_factor, work.x_factor)),
            lines.divisor.eq(Mux(row, work.d_divisor, work.x_divisor)),
            lines.bl.eq(work.bl),
            lines.chunk.eq(Mux(work.own, wants.chunk, 0)),
            lines.sub.eq(Mux(work.own, Mux(work.serial, wants.slot, wants.chunk), 0)),
            lines.mode.eq(work.mode),
            lines.pace.eq(Mux(lines.trains, Mux(work.mode == 0, hashed, followed), 1)),
        ]
        # A list takes no column of 0: it has no pulses. Keys for a plan that is kept need the list
        # that its trains were made by, and go through all columns if another may be there.
        planned, others = (self.pending | self.ready).any(), Signal()
        m.d.sync += others.eq(planned & (others | self.rewritten))
        with m.If(~row & work.turned & ~work.refresh & ~(wants.resume & others)):
            m.d.comb += [lines.skip.eq(1), lines.count.eq(work.x_count)]

    def _remember(self, m, work, plan, keep, x_kept):
        """Keep the plans of arrays, and say which ones there are."""
        record = plan_layout(self.config)
        m.submodules.plans = plans = Memory(
            shape=unsigned(record.size), depth=self.config.build.arrays, init=[]
        )
        write, read = plans.write_port(), plans.read_port(domain="comb")
        m.d.comb += [
            write.en.eq(keep),
            write.addr.eq(work.at),
            write.data.eq(self.made),
            read.addr.eq(self.array),
            self.kept.eq(read.data),
        ]
        for number in range(self.config.build.arrays):
            here, planned = self.array == number, work.at == number
            with m.If(planned & keep):
                m.d.sync += [self.pending[number].eq(0), self.ready[number].eq(1)]
            with m.If(planned & (keep | x_kept)):
                m.d.sync += self.reading[number].eq(0)
            with m.If((self.used & here) | self.forget):
                m.d.sync += self.ready[number].eq(0)
            with m.If(plan & (self.plan_array == number)):
                m.d.sync += [self.pending[number].eq(1), self.reading[number].eq(1)]

"""The pulser: plans updates, and makes their trains and keys, beside the array.

Arrays whose vectors are at the edge wait in a queue; of each it plans the pulses and makes trains,
keys and list of the first chunk while the lanes do something else (a PLAN step). An update that
was not planned asks for the same when its turn has come, and for what follows the first chunk, or
slot. In a refresh it writes back the differences of a column of pairs: then the devices of a pair
are lines of their own, with trains of their own.
"""

from amaranth.hdl import Array, Cat, Module, Mux, Signal, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ohmgrid.config import SLOTS, Config
from ohmgrid.hdl.core.array_table import planned_layout
from ohmgrid.hdl.core.jobs import COLUMN, KEY, REGISTERS, ROW, Work, spanning
from ohmgrid.hdl.periphery.passes import trains_layout
from ohmgrid.hdl.periphery.pulses import Planner
from ohmgrid.hdl.periphery.values import list_layout
from ohmgrid.registers.arrays import ENTRIES
from ohmgrid.registers.edge import BL_BITS
from ohmgrid.registers.noise import Verb
from ohmgrid.registers.steps import ARRAY_BITS

__all__ = ["WANTS", "Pulser", "plan_layout"]

QUEUE = 8
"""Arrays that wait: those of the deepest net."""

WANTS = data.StructLayout(
    {"valid": 1, "resume": 1, "next": 1, "keys": 1, "chunk": 3, "slot": BL_BITS, "left": BL_BITS}
)
"""What an update asks for of the array at work.

``valid``, until nothing more is wanted: plan, trains and keys of the first chunk; or, to
``resume``, only what keys are made of. ``next`` (strobe): trains and keys of this ``chunk``, from
this ``slot`` on, of which so many slots are ``left``; or ``keys`` of this slot alone.
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
    pending, ready : Out
        A bit for each array: it is waiting, or being planned; its plan is kept. Where trains may
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
    at : Out
        The array that is being planned; of it:
    fetch : Out(1), fetched : In(1), entry : In(planned_layout)
        Strobe, what answers it, and then what is known of it;
    x_max, d_max, x_count : In
        the largest magnitudes of the vectors at the edge, and how many activations are not 0.
    registers : In(REGISTERS)
    x_one, d_one : In
        1.0 at the edge.
    key : Out(KEY) ; key_done : In(1)
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
                "pending": Out(ENTRIES),
                "ready": Out(ENTRIES),
                "kept": Out(plan_layout(config)),
                "wants": In(WANTS),
                "served": Out(1),
                "made": Out(plan_layout(config)),
                "refresh": In(1),
                "column": In(range(build.inputs)),
                "at": Out(ARRAY_BITS),
                "fetch": Out(1),
                "fetched": In(1),
                "entry": In(planned_layout()),
                "x_max": In(edge - 1),
                "d_max": In(edge - 1),
                "x_count": In(range(build.inputs + 1)),
                "registers": In(REGISTERS),
                "x_one": In(edge),
                "d_one": In(edge),
                "key": Out(KEY),
                "key_done": In(1),
                "lines": Out(trains_layout(config)),
                "lines_busy": In(1),
                "lines_clipped": In(1),
                "pulses": In(list_layout(config)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        entry, registers, wants, made = self.entry, self.registers, self.wants, self.made
        own, refresh = Signal(), Signal()
        m.d.comb += refresh.eq(self.refresh & own)
        m.submodules.planner = planner = self._planner(m, refresh)
        m.submodules.queue = queue = SyncFIFO(width=ARRAY_BITS, depth=QUEUE)
        accepts = Signal()
        m.d.sync += accepts.eq(registers.desired_bl <= SLOTS)
        m.d.comb += [
            self.room.eq(queue.w_rdy),
            queue.w_en.eq(self.plan & accepts),
            queue.w_data.eq(self.plan_array),
        ]
        keep = Signal()
        self._remember(m, queue.w_en, keep)
        m.d.sync += made.active.eq((self.x_max != 0) & (self.d_max != 0))
        m.d.comb += [made.bl.eq(planner.bl), made.below.eq(planner.below)]
        with m.If(self.pulses.clear):
            m.d.sync += made.listed.eq(0)
        with m.Elif(self.pulses.put):
            m.d.sync += made.listed.eq(made.listed + 1)

        more = own & (wants.chunk != 0)
        left, size = Signal(BL_BITS), Signal(range(SLOTS + 1))
        m.d.comb += left.eq(Mux(more, wants.left, planner.bl))
        m.d.sync += size.eq(Mux(left > SLOTS, SLOTS, left))

        def passes(state, side, factor, divisor, trains, after):
            """Make trains and keys of a side, or keys alone."""
            with m.State(state):
                self._pass(m, side, trains, size, refresh)
                m.d.comb += [
                    self.lines.factor.eq(factor),
                    self.lines.divisor.eq(divisor),
                    self.lines.bl.eq(planner.bl),
                    self.lines.chunk.eq(Mux(own, wants.chunk, 0)),
                    self.lines.sub.eq(Mux(own, Mux(entry.serial, wants.slot, wants.chunk), 0)),
                ]
                with work.until_done(self.lines.start, self.lines_busy):
                    if trains:
                        m.d.sync += made.clipped.eq(made.clipped | self.lines_clipped)
                    m.next = after

        work, planned, keyed = Work(m), Signal(), Signal()
        with m.FSM():
            with m.State("IDLE"):
                m.d.sync += [
                    *(planned.eq(0), keyed.eq(0)),
                    own.eq(wants.valid),
                    self.at.eq(Mux(wants.valid, self.array, queue.r_data)),
                ]
                with m.If(wants.valid | queue.r_rdy):
                    m.d.comb += queue.r_en.eq(~wants.valid)
                    m.d.sync += made.clipped.eq(0)
                    m.next = "FETCH"
            with m.State("FETCH"), work.until_done(self.fetch, ~self.fetched):
                m.next = "PLAN"
            with m.State("PLAN"):
                step = entry.update_step
                m.d.comb += [
                    self.key.verb.eq(Mux(refresh, Verb.REWRITE, Verb.UPDATE)),
                    self.key.step.eq(Mux(refresh, Cat(step[:32], self.column), step)),
                    planner.start.eq(self.key.start),
                ]
                m.d.sync += [
                    planned.eq(planned | planner.done),
                    keyed.eq(keyed | self.key_done),
                ]
                with work.until_done(self.key.start, ~(planned & keyed)):
                    m.next = "ROW_TRAINS"
                    with m.If((planner.bl == 0) | (own & wants.resume)):
                        m.next = "DONE"
            row, column = (
                (getattr(planner, f"{side}_factor"), getattr(planner, f"{side}_divisor"))
                for side in ("d", "x")
            )
            passes("ROW_TRAINS", ROW, *row, 1, "COLUMN_TRAINS")
            passes("COLUMN_TRAINS", COLUMN, *column, 1, "DONE")
            if not self.config.build.computed_keys:
                passes("ROW_KEYS", ROW, *row, 0, "COLUMN_KEYS")
                passes("COLUMN_KEYS", COLUMN, *column, 0, "DONE")
            with m.State("DONE"):
                m.d.comb += [self.served.eq(own), keep.eq(~own)]
                m.next = "IDLE"
                with m.If(own):
                    m.next = "HELD"
            # For the update at work, until it wants nothing more.
            with m.State("HELD"):
                with m.If(~wants.valid):
                    m.next = "IDLE"
                with m.Elif(wants.next):
                    m.next = "ROW_TRAINS"
                    if not self.config.build.computed_keys:
                        with m.If(wants.keys):
                            m.next = "ROW_KEYS"
        return m

    def _planner(self, m, refresh):
        """Return the planner, for an update or a refresh."""
        entry, registers = self.entry, self.registers
        planner = Planner(self.config.formats.edge_bits)

        def of_update(name):
            return Mux(refresh, registers[f"refresh_{name}"], entry[name])

        m.d.comb += [
            planner.x_one.eq(self.x_one),
            planner.d_one.eq(self.d_one),
            planner.x_max.eq(self.x_max),
            planner.d_max.eq(self.d_max),
            planner.fixed_bl.eq(of_update("bl")),
            *(
                getattr(planner, name).eq(of_update(name))
                for name in ("rate", "rate_shift", "factor")
            ),
            planner.desired_bl.eq(Mux(refresh, registers.refresh_desired_bl, registers.desired_bl)),
            *(
                getattr(planner, name).eq(registers[name] | refresh)
                for name in ("managed", "bl_managed")
            ),
        ]
        return planner

    def _pass(self, m, side, trains, size, refresh):
        """Say which lines a pass goes through, and at which pace."""
        entry, lines, slots = self.entry, self.lines, 4 * self.config.build.train_groups
        hashed = Array(max(1, -(-count // slots)) for count in range(SLOTS + 1))[size]
        mode = Mux(refresh, 0, self.registers.pulse_type)
        # A deterministic train of a row is followed from its first slot on.
        followed = Mux(self.wants.valid, self.wants.slot, 0) + size if side == ROW else 1
        m.d.comb += [
            *spanning(lines, entry, side, devices=1, split=refresh),
            lines.paired.eq(entry.paired & ~refresh),
            lines.turned.eq(entry.turned),
            lines.trains.eq(trains),
            lines.mode.eq(mode),
            lines.pace.eq(Mux(mode == 0, hashed, followed) if trains else 1),
        ]
        # A list takes no column of 0: it has no pulses.
        if side == COLUMN:
            with m.If(entry.turned & ~refresh):
                m.d.comb += [lines.skip.eq(1), lines.count.eq(self.x_count)]

    def _remember(self, m, plan, keep):
        """Keep the plans of arrays, and say which ones there are."""
        record = plan_layout(self.config)
        m.submodules.plans = plans = Memory(
            shape=unsigned(record.size), depth=1 << ARRAY_BITS, init=[]
        )
        write, read = plans.write_port(), plans.read_port(domain="comb")
        m.d.comb += [
            write.en.eq(keep),
            write.addr.eq(self.at),
            write.data.eq(self.made),
            read.addr.eq(self.array),
            self.kept.eq(read.data),
        ]
        for number in range(ENTRIES):
            here, planned = self.array == number, self.at == number
            with m.If(plan & (self.plan_array == number)):
                m.d.sync += self.pending[number].eq(1)
            with m.Elif(keep & planned):
                m.d.sync += self.pending[number].eq(0)
            with m.If((self.used & here) | self.forget):
                m.d.sync += self.ready[number].eq(0)
            with m.Elif(keep & planned):
                m.d.sync += self.ready[number].eq(1)

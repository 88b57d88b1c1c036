"""Update: sweep with the trains that the pulser has made; chunk by chunk, slot by slot if told."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ohmgrid.config import Config
from ohmgrid.hdl.array.bundles import sweep_layout
from ohmgrid.hdl.core.jobs import KEY, Work, entry_layout, update_key
from ohmgrid.hdl.core.pulser import WANTS, plan_layout
from ohmgrid.periphery import SLOTS
from ohmgrid.registers.edge import BL_BITS
from ohmgrid.registers.steps import ARRAY_BITS

__all__ = ["Update"]


class Update(wiring.Component):
    """One update of the array at work, or of a column in its refresh.

    Parameters
    ----------
    config : Config

    Members
    -------
    start : In(1)
        Strobe; all settings are constant from some cycles before until `done`.
    refresh, column : In
        Write differences of this column back.
    offset, before : In
        Then, where the column's block lies, if the array is not turned.
    waits, taking : In(1)
        Before `done`, the pulser is to be idle and no example being taken: others need both then;
        one is.
    alone : Out(1)
        For that, none may begin to be taken. What is at work ends by itself, and no plan or example
        that waits for an update is waited for.
    done : Out(1)
        Strobe.
    array : In, entry : In(entry_layout)
        The array at work.
    pending, ready, kept, used, wants, served, made
        As of `ohmgrid.hdl.core.pulser.Pulser`.
    key : Out(KEY) ; key_done : In(1)
        In a build with ``computed_keys``.
    sweep : Out(sweep_layout) ; sweep_start : Out(1) ; sweep_busy : In(1)
    sub : Out(8)
        Slot or chunk that is swept, for keys of lines.
    plan : Out(plan_layout)
        That of the update.
    """

    def __init__(self, config: Config):
        build = config.build
        self.config = config
        super().__init__(
            {
                "start": In(1),
                "refresh": In(1),
                "column": In(range(build.inputs)),
                "offset": In(range(build.words)),
                "before": In(range(build.lines)),
                "waits": In(1),
                "taking": In(1),
                "alone": Out(1),
                "done": Out(1),
                "array": In(ARRAY_BITS),
                "entry": In(entry_layout(config)),
                "pending": In(build.arrays),
                "ready": In(build.arrays),
                "kept": In(plan_layout(config)),
                "used": Out(1),
                "wants": Out(WANTS),
                "served": In(1),
                "made": In(plan_layout(config)),
                "key": Out(KEY),
                "key_done": In(1),
                "sweep": Out(sweep_layout(config)),
                "sweep_start": Out(1),
                "sweep_busy": In(1),
                "sub": Out(8),
                "plan": Out(plan_layout(config)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        entry, refresh, wants, plan = self.entry, self.refresh, self.wants, self.plan
        computed = self.config.build.computed_keys
        # A register: while an update is at work, plans come to an end, and none is added.
        planning = Signal()
        m.d.sync += planning.eq(self.pending.any())
        # The chunk at work and its slots: the first of them, how many are left of the train from
        # there on; of devices that are pulsed slot by slot, the one at work and its place.
        chunk, left, slot = Signal(3), Signal(BL_BITS), Signal(BL_BITS)
        place, working = Signal(range(SLOTS)), Signal()
        more, size, kept = Signal(), Signal(range(SLOTS + 1)), Signal()
        m.d.sync += [more.eq(left > SLOTS), size.eq(Mux(left > SLOTS, SLOTS, left))]
        whole = refresh & entry.turned
        planned = self.ready.bit_select(self.array, 1) & ~refresh
        pending = self.pending.bit_select(self.array, 1) & ~refresh
        # Keys of slots are made of the operation's key, which the pulser has to make once more.
        alone = planned & ~(entry.serial & (not computed))
        m.d.comb += [
            self.sub.eq(Mux(working, Mux(entry.serial, slot, chunk), 0)),
            wants.resume.eq(kept),
            wants.chunk.eq(chunk),
            wants.slot.eq(slot),
            wants.size.eq(size),
            self.sweep.update.eq(working),
            self.sweep.slots.eq(Mux(working, Mux(entry.serial, (1 << place)[:SLOTS], ~0), 0)),
            self.sweep.block.eq(working & refresh & ~entry.turned),
            self.sweep.offset.eq(Mux(self.sweep.block, self.offset, 0)),
            self.sweep.before.eq(Mux(self.sweep.block, self.before, 0)),
            self.sweep.split.eq(working & refresh),
            self.sweep.listed.eq(Mux(working, plan.listed, 0)),
        ]
        with m.If(working):
            m.d.comb += self.sweep.list.eq(
                Mux(
                    entry.turned,
                    entry.input_line,
                    self.config.build.inputs + (entry.output_line << entry.paired),
                )
            )

        work = Work(m)
        with m.FSM() as fsm:
            with m.State("IDLE"):
                m.d.sync += [slot.eq(0), place.eq(0), chunk.eq(0), wants.valid.eq(0)]
                with m.If(self.start):
                    m.next = "LOOK"
            with m.State("LOOK"), m.If(~pending):
                m.d.sync += [
                    *(kept.eq(planned), wants.valid.eq(~alone)),
                    *(plan.eq(self.kept), left.eq(self.kept.bl)),
                ]
                m.next = "ASK"
                with m.If(alone):
                    m.next = "READY"
            with m.State("ASK"), m.If(self.served):
                with m.If(~kept):
                    m.d.sync += [plan.eq(self.made), left.eq(self.made.bl)]
                m.next = "READY"
            with m.State("READY"):
                m.next = "KEY" if computed else "SETTLE"
                with m.If(plan.bl == 0):
                    m.next = "DONE"
            if computed:
                with m.State("KEY"):
                    m.d.comb += update_key(self.key, refresh, entry.update_step, self.column)
                    with work.until_done(self.key.start, ~self.key_done):
                        m.next = "SETTLE"
            with m.State("NEXT"):
                with work.until_done(wants.next, ~self.served):
                    with m.If(~wants.keys):
                        m.d.sync += [
                            plan.listed.eq(self.made.listed),
                            plan.clipped.eq(self.made.clipped),
                        ]
                    m.next = "SETTLE"
            # The sweep's settings follow the plan.
            with m.State("SETTLE"):
                m.next = "SWEEP"
            with m.State("SWEEP"):
                with work.until_done(self.sweep_start, self.sweep_busy):
                    m.next = "SWEPT"
                    with m.If(whole):
                        m.next = "SETTLE_MINUS"
            # Turned, the minus devices of a column take a sweep of their own.
            with m.State("SETTLE_MINUS"):
                m.d.comb += self.sweep.minus.eq(1)
                m.next = "SWEEP_MINUS"
            with m.State("SWEEP_MINUS"):
                m.d.comb += self.sweep.minus.eq(1)
                with work.until_done(self.sweep_start, self.sweep_busy):
                    m.next = "SWEPT"
            with m.State("SWEPT"):
                m.d.sync += [slot.eq(slot + Mux(entry.serial, 1, size)), place.eq(place + 1)]
                m.next = "DONE"
                with m.If(entry.serial & (place + 1 != size)):
                    m.d.sync += wants.keys.eq(1)
                    m.next = "SETTLE" if computed else "NEXT"
                with m.Elif(more):
                    m.d.sync += [
                        *(place.eq(0), chunk.eq(chunk + 1), left.eq(left - SLOTS)),
                        wants.keys.eq(0),
                    ]
                    m.next = "NEXT"
            with m.State("DONE"):
                # At once: what is waited for may wait for these.
                m.d.comb += [self.used.eq(kept), self.alone.eq(self.waits & ~planning)]
                m.d.sync += [wants.valid.eq(0), kept.eq(0)]
                with m.If(~self.waits | (self.alone & ~self.taking)):
                    m.d.comb += self.done.eq(1)
                    m.next = "IDLE"
        m.d.sync += working.eq(~fsm.ongoing("IDLE") | self.start)
        return m

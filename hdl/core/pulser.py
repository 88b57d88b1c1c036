"""Update: plan the pulses, make trains and keys of cycles, sweep; slot by slot if told.

It also writes back the differences of pairs in a refresh, column by column: then the devices of a
pair are lines of their own, with trains of their own.
"""

from amaranth.hdl import Array, Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ohmgrid.config import SLOTS, Config
from ohmgrid.hdl.array.bundles import sweep_layout
from ohmgrid.hdl.core.jobs import COLUMN, KEY, REGISTERS, ROW, Work, entry_layout, over_lines
from ohmgrid.hdl.periphery.lines import pass_layout
from ohmgrid.hdl.periphery.pulses import Planner
from ohmgrid.registers.edge import BL_BITS
from ohmgrid.registers.noise import Verb

__all__ = ["Pulser"]


class Pulser(wiring.Component):
    """One update of the array at work.

    Parameters
    ----------
    config : Config

    Members
    -------
    start : In(1)
        Strobe; all settings are constant from some cycles before until `done`.
    refresh, column : In
        Write differences of this column back: rate and key are those of a refresh, rows those of
        devices.
    offset, before : In
        Then, where the column's block lies, if the array is not turned.
    done : Out(1)
        Strobe.
    registers : In(REGISTERS), entry : In(entry_layout)
    x_one, d_one, x_max, d_max, x_count : In
        1.0 at the edge, the largest magnitudes of the vectors there, and how many activations are
        not 0.
    key : Out(KEY) ; key_done : In(1)
    lines : Out(pass_layout) ; lines_busy : In(1)
    sweep : Out(sweep_layout) ; sweep_start : Out(1) ; sweep_busy : In(1)
    sub : Out(8)
        Slot or chunk that is swept, for keys of lines.
    bl : Out
        Slots of the update.
    active, below, clipped : Out(1)
        Neither vector is 0; and of `ohmgrid.counters.PulseCounts`.
    lines_clipped : In(1)
        As of `ohmgrid.hdl.periphery.lines.Lines.clipped`.
    """

    def __init__(self, config: Config):
        build, edge = config.build, config.formats.edge_bits
        self.config = config
        super().__init__(
            {
                "start": In(1),
                "refresh": In(1),
                "column": In(range(build.inputs)),
                "offset": In(range(build.words)),
                "before": In(range(build.lines)),
                "done": Out(1),
                "registers": In(REGISTERS),
                "entry": In(entry_layout(config)),
                "x_one": In(edge),
                "d_one": In(edge),
                "x_max": In(edge - 1),
                "d_max": In(edge - 1),
                "x_count": In(range(build.inputs + 1)),
                "key": Out(KEY),
                "key_done": In(1),
                "lines": Out(pass_layout(config)),
                "lines_busy": In(1),
                "sweep": Out(sweep_layout(config)),
                "sweep_start": Out(1),
                "sweep_busy": In(1),
                "sub": Out(8),
                "bl": Out(BL_BITS),
                **dict.fromkeys(("active", "below", "clipped"), Out(1)),
                "lines_clipped": In(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        build, entry, registers = self.config.build, self.entry, self.registers
        refresh = self.refresh
        m.submodules.planner = planner = Planner(self.config.formats.edge_bits)

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
            self.bl.eq(planner.bl),
            self.below.eq(planner.below),
        ]
        # The chunk at work and its slots: the first of them, how many are left of the train from
        # there on; of devices that are pulsed slot by slot, the one at work and its place.
        chunk, left, slot = Signal(3), Signal(BL_BITS), Signal(BL_BITS)
        place, working = Signal(range(SLOTS)), Signal()
        size = Signal(range(SLOTS + 1))
        m.d.comb += size.eq(Mux(left > SLOTS, SLOTS, left))
        lines = self.lines
        mode = Mux(refresh, 0, registers.pulse_type)
        whole = refresh & entry.turned
        m.d.comb += [
            self.sub.eq(Mux(working, Mux(entry.serial, slot, chunk), 0)),
            self.sweep.update.eq(working),
            self.sweep.slots.eq(Mux(working, Mux(entry.serial, (1 << place)[:SLOTS], ~0), 0)),
            self.sweep.block.eq(working & refresh & ~entry.turned),
            self.sweep.offset.eq(Mux(self.sweep.block, self.offset, 0)),
            self.sweep.before.eq(Mux(self.sweep.block, self.before, 0)),
            self.sweep.split.eq(working & refresh),
        ]
        slots = 4 * build.train_groups
        hashed = Array(max(1, -(-count // slots)) for count in range(SLOTS + 1))[size]

        def settle(side):
            """Say which lines a pass goes through, and that it makes keys."""
            m.d.comb += over_lines(lines, entry, side, devices=1, split=refresh)
            # A list takes no column of 0: it has no pulses.
            if side == COLUMN:
                with m.If(entry.turned & ~refresh):
                    m.d.comb += [lines.skip.eq(1), lines.count.eq(self.x_count)]
            m.d.comb += [lines.cycle_keys.eq(1), lines.sub.eq(self.sub)]

        def trains(side, factor, divisor, pace):
            settle(side)
            m.d.comb += [
                lines.trains.eq(1),
                lines.factor.eq(factor),
                lines.divisor.eq(divisor),
                lines.top.eq(1 << 16),
                lines.bl.eq(planner.bl),
                lines.chunk.eq(chunk),
                lines.mode.eq(mode),
                lines.pace.eq(Mux(mode == 0, hashed, pace)),
            ]

        work, planned, keyed = Work(m), Signal(), Signal()
        with m.FSM() as fsm:
            with m.State("IDLE"):
                m.d.sync += [
                    *(slot.eq(0), place.eq(0), chunk.eq(0)),
                    *(planned.eq(0), keyed.eq(0)),
                ]
                with m.If(self.start):
                    m.d.sync += self.clipped.eq(0)
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
                    m.d.sync += left.eq(planner.bl)
                    m.next = "ROW_TRAINS"
                    with m.If(planner.bl == 0):
                        m.next = "DONE"
            with m.State("ROW_TRAINS"):
                # A deterministic train of a row is followed from its first slot on.
                trains(ROW, planner.d_factor, planner.d_divisor, slot + size)
                with work.until_done(lines.start, self.lines_busy):
                    m.d.sync += self.clipped.eq(self.clipped | self.lines_clipped)
                    m.next = "COLUMN_TRAINS"
            with m.State("COLUMN_TRAINS"):
                trains(COLUMN, planner.x_factor, planner.x_divisor, 1)
                with work.until_done(lines.start, self.lines_busy):
                    m.d.sync += self.clipped.eq(self.clipped | self.lines_clipped)
                    m.next = "SWEEP"
            with m.State("ROW_KEYS"):
                settle(ROW)
                with work.until_done(lines.start, self.lines_busy):
                    m.next = "COLUMN_KEYS"
            with m.State("COLUMN_KEYS"):
                settle(COLUMN)
                with work.until_done(lines.start, self.lines_busy):
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
                    m.next = "SWEEP" if build.computed_keys else "ROW_KEYS"
                with m.Elif(left > SLOTS):
                    m.d.sync += [place.eq(0), chunk.eq(chunk + 1), left.eq(left - SLOTS)]
                    m.next = "ROW_TRAINS"
            with m.State("DONE"):
                m.d.comb += self.done.eq(1)
                m.next = "IDLE"
        m.d.sync += [
            working.eq(~fsm.ongoing("IDLE") | self.start),
            self.active.eq((self.x_max != 0) & (self.d_max != 0)),
        ]
        return m

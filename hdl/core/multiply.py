"""Forward and backward: codes, sweeps, conversion, results; another pass if an output clipped."""

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ohmgrid.config import Config
from ohmgrid.hdl.array.bundles import sweep_layout
from ohmgrid.hdl.core.jobs import COLUMN, KEY, REGISTERS, ROW, WAY, Work, entry_layout, over_lines
from ohmgrid.hdl.periphery.outputs import Outputs
from ohmgrid.hdl.periphery.passes import pass_layout
from ohmgrid.hdl.periphery.values import ASK
from ohmgrid.hdl.periphery.voltages import POWER_BITS
from ohmgrid.host.protocol import OUT_BITS
from ohmgrid.periphery import W_NOISE_TYPES
from ohmgrid.registers.noise import Verb
from ohmgrid.registers.readout import DITHER_BITS, Part

__all__ = ["GONE", "Multiply"]

GONE = 64
"""Cycles in which what left is taken to the edge, at most."""


class Multiply(wiring.Component):
    """One operation of the array at work, in either direction.

    Parameters
    ----------
    config : Config
    sum_bits : int
        Width of a sum.

    Members
    -------
    start : In(1)
        Strobe; all settings are constant from some cycles before until `done`.
    backward : In(1)
    done : Out(1)
        Strobe.
    registers : In(REGISTERS), way : In(WAY), entry : In(entry_layout)
    again : In(1)
        With `start`: send the results that are there once more.
    inner : In(1)
        Results stay in the core, so that they can leave as they come even where bound management
        may ask for another pass: then
    anew : Out(1)
        tells (strobe) that all that left is void, and that they will come once more.
    x_one, d_one, x_max, d_max, x_count : In
        1.0 at the edge, the largest magnitudes of the vectors there, and how many activations are
        not 0.
    key : Out(KEY) ; key_done, op_key : In
        Operation keys.
    lines : Out(pass_layout) ; lines_busy, lines_begun, power : In
    sweep : Out(sweep_layout) ; sweep_start : Out(1) ; sweep_busy : In(1)
    tree_valid, tree_sum, chain_valid, chain_sum : In
        As of `ohmgrid.hdl.array.array.LaneArray`.
    asks, granted, key_made : In, Out
        As of `ohmgrid.hdl.periphery.outputs.Outputs`.
    passes, saturated : Out
        Of the operation that ended last.
    o : stream of results
    """

    def __init__(self, config: Config, sum_bits: int):
        build, edge = config.build, config.formats.edge_bits
        self.config = config
        self._outputs = Outputs(sum_bits, build.lines, build.read_physics)
        super().__init__(
            {
                "start": In(1),
                "again": In(1),
                "inner": In(1),
                "anew": Out(1),
                "backward": In(1),
                "done": Out(1),
                "registers": In(REGISTERS),
                "way": In(WAY),
                "entry": In(entry_layout(config)),
                "x_one": In(edge),
                "d_one": In(edge),
                "x_max": In(edge - 1),
                "d_max": In(edge - 1),
                "x_count": In(range(build.inputs + 1)),
                "key": Out(KEY),
                "key_done": In(1),
                "op_key": In(64),
                "lines": Out(pass_layout(config)),
                "lines_busy": In(1),
                "lines_begun": In(1),
                "power": In(POWER_BITS),
                "sweep": Out(sweep_layout(config)),
                "sweep_start": Out(1),
                "sweep_busy": In(1),
                "tree_valid": In(1),
                "tree_sum": In(signed(sum_bits)),
                "chain_valid": In(1),
                "chain_sum": In(signed(sum_bits)),
                "asks": In(ASK),
                "granted": Out(1),
                "key_made": Out(64),
                "passes": Out(8),
                "saturated": Out(range(build.lines + 1)),
                "o": Out(stream.Signature(signed(OUT_BITS))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.outputs = outputs = self._outputs
        entry, way, backward = self.entry, self.way, self.backward
        physics = self.config.build.read_physics
        halvings, part = Signal(3), Signal(Part, init=Part.VALUE)
        key = Signal(64)
        working = Signal()
        read, perfect = way.read & physics, way.perfect & physics
        # Lanes sum for themselves where the inputs of the operation are the serial lines.
        chain, tree = Signal(), Signal()
        m.d.sync += [chain.eq(backward ^ entry.turned), tree.eq(~(backward ^ entry.turned))]
        alpha = self._alpha(m, read)
        m.d.comb += [
            self.sweep.tree.eq(tree & working),
            self.sweep.chain.eq(chain & working),
            self.sweep.slots.eq(0),
            self.sweep.magnitude.eq(working & ((part == Part.LOAD) | (part == Part.POWER))),
            outputs.key.eq(key),
            outputs.asks.eq(self.asks),
            self.granted.eq(outputs.granted),
            self.key_made.eq(outputs.key_made),
            outputs.sub.eq(halvings),
            outputs.read.eq(read),
            outputs.exact.eq(perfect),
            outputs.part.eq(part),
            outputs.static_key.eq(entry.static_key),
            outputs.backward.eq(backward),
            *(getattr(outputs, name).eq(way[name]) for name in Outputs.REGISTERS),
            outputs.alpha.eq(alpha),
            outputs.halvings.eq(halvings),
            outputs.lines.eq(Mux(backward, entry.cols, entry.rows)),
            *(getattr(outputs, name).eq(way[name]) for name in ("scale", "shift", "noise")),
            outputs.half.eq(way.adc_half),
            self.saturated.eq(outputs.saturated),
            self.passes.eq(halvings + 1),
            self.o.valid.eq(outputs.o.valid),
            self.o.payload.eq(outputs.o.payload),
            outputs.o.ready.eq(self.o.ready),
        ]
        # Sums come from all over the array.
        m.d.sync += [
            outputs.valid.eq(Mux(chain, self.chain_valid, self.tree_valid) & working),
            outputs.sum.eq(Mux(chain, self.chain_sum, self.tree_sum)),
        ]
        # What inputs are divided by, doubled with each halving.
        divisor = Signal.like(self.lines.divisor)
        drop, power = read & (way.ir != 0), read & (way.w_kind != 0)
        last_sweep = part == Part.VALUE
        # No pass can follow, or nobody minds: results leave as they come.
        once, more, gone = Signal(), Signal(), Signal(range(GONE))
        m.d.sync += [
            once.eq(backward | self.inner | (self.registers.forward_passes <= 1)),
            # There are no more halvings than can be counted, whatever a register says.
            more.eq(~(backward | halvings.all()) & (halvings + 1 < self.registers.forward_passes)),
        ]
        # Powers without weights are summed while the codes are made.
        additive = way.w_kind == W_NOISE_TYPES.index("additive-constant")
        # Long settled when the key is there.
        nothing = Signal()
        m.d.sync += nothing.eq((alpha == 0) & ~perfect)

        def first_sweep():
            m.d.sync += part.eq(Mux(drop, Part.LOAD, Mux(power, Part.POWER, Part.VALUE)))
            m.next = "CODES"

        def next_sweep():
            m.d.comb += outputs.clear.eq(1)
            of_position = Mux((part == Part.POSITION) & power, Part.POWER, Part.VALUE)
            m.d.sync += part.eq(Mux(part == Part.LOAD, Part.POSITION, of_position))
            m.next = "CODES"

        work = Work(m)
        with m.FSM() as fsm:
            with m.State("IDLE"), m.If(self.start):
                m.next = "SEND"
                with m.If(~self.again):
                    m.d.sync += halvings.eq(0)
                    m.next = "KEY"
            with m.State("KEY"):
                m.d.comb += [
                    self.key.verb.eq(Mux(backward, Verb.BACKWARD, Verb.FORWARD)),
                    self.key.step.eq(Mux(backward, entry.backward_step, entry.forward_step)),
                ]
                m.d.sync += divisor.eq(alpha)
                with work.until_done(self.key.start, ~self.key_done):
                    m.d.sync += key.eq(self.op_key)
                    m.d.comb += outputs.clear.eq(1)
                    with m.If(nothing):
                        m.next = "SEND"
                    with m.Else():
                        first_sweep()
            with m.State("CODES"):
                self._codes(m, read, perfect, divisor, halvings, part)
                # Lane lines are loaded as they are coded, one a cycle, and a list is followed.
                waits = self.lines_busy & ~(~read & self.lines_begun)
                with work.until_done(self.lines.start, waits):
                    m.next = "SWEEP"
                    with m.If((part == Part.POWER) & additive):
                        m.next = "POWER"
            with m.State("SWEEP"):
                self._codes(m, read, perfect, divisor, halvings, part)
                with work.until_done(self.sweep_start, self.sweep_busy):
                    m.next = "CONVERT_WAIT"
                m.d.comb += outputs.send.eq(self.sweep_start & last_sweep & once)
            with m.State("POWER"):
                m.d.sync += [outputs.valid.eq(1), outputs.sum.eq(self.power)]
                m.next = "POWER_WAIT"
            with m.State("POWER_WAIT"):
                with m.If(outputs.stored == 1):
                    next_sweep()
            with m.State("CONVERT_WAIT"):
                with m.If(read & (outputs.stored == outputs.lines)):
                    with m.If(last_sweep):
                        m.d.comb += outputs.convert.eq(1)
                        m.next = "CONVERTED"
                    with m.Else():
                        next_sweep()
                with m.If(~read):
                    m.next = "CONVERTED"
            with m.State("CONVERTED"), m.If(outputs.count == outputs.lines):
                m.next = "SEND"
                with m.If((outputs.saturated != 0) & more):
                    m.next = "REPEAT"
                with m.Elif(once):
                    m.next = "SENT"
            # What left has to be gone before it can come once more.
            with m.State("REPEAT"):
                m.d.sync += gone.eq(gone + 1)
                with m.If((~once | gone.all()) & ~outputs.busy):
                    m.d.comb += [outputs.clear.eq(1), self.anew.eq(once)]
                    m.d.sync += [
                        *(halvings.eq(halvings + 1), gone.eq(0)),
                        divisor.eq(divisor << 1),
                    ]
                    first_sweep()
            with m.State("SEND"):
                m.d.comb += outputs.send.eq(1)
                m.next = "SENT"
            with m.State("SENT"), m.If(~outputs.busy):
                m.d.comb += self.done.eq(1)
                m.next = "IDLE"
        m.d.sync += working.eq(~fsm.ongoing("IDLE") | self.start)
        return m

    def _alpha(self, m, read):
        """Return what scales the operation's inputs: their largest magnitude, or 1.0."""
        registers = self.registers
        # Forward, zeros with input noise are not nothing.
        awake = read & (registers.forward_inp_noise != 0) & (self.x_max == 0)
        alpha = Signal(17)
        m.d.comb += alpha.eq(
            Mux(
                self.backward,
                Mux(registers.backward_managed, self.d_max, self.d_one),
                Mux(registers.forward_managed & ~awake, self.x_max, self.x_one),
            )
        )
        return alpha

    def _codes(self, m, read, perfect, divisor, halvings, part):
        """Say which codes a pass makes."""
        entry, way, lines, backward = self.entry, self.way, self.lines, self.backward
        half = way.dac_half
        fine = Mux(read & way.inp_dither, half << DITHER_BITS, half)
        m.d.comb += over_lines(lines, entry, Mux(backward, ROW, COLUMN))
        # A list takes no line of 0, unless what is read of it is not 0.
        with m.If(entry.turned & ~backward & ~read):
            m.d.comb += [lines.skip.eq(1), lines.count.eq(self.x_count)]
        m.d.comb += [
            lines.codes.eq(1),
            lines.drive.eq(read),
            lines.exact.eq(perfect),
            lines.part.eq(part),
            lines.sub.eq(halvings),
            lines.factor.eq(Mux(perfect, 1, fine)),
            lines.top.eq(Mux(perfect, ~0, fine)),
            lines.divisor.eq(Mux(perfect, 1, divisor)),
        ]

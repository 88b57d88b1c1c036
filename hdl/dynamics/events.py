"""Events that single neurons get: who gets one in a sample."""

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ohmgrid.hdl.base.noise import KeySchedule, LineKey
from ohmgrid.registers.dynamics import EVENT_BITS
from ohmgrid.registers.noise import KEY_BITS, Purpose, Verb

__all__ = ["Events"]

STEP_BITS = 48


class Events(wiring.Component):
    """Says whether a neuron gets an event: `EVENT_BITS` bits of a hash are below a threshold.

    Members
    -------
    seed : In(64), load : In(1)
        Strobe: another seed.
    sample : In(48), start : In(1)
        Strobe: another sample.
    neuron : In(16), ask : In(1)
        High until `done`.
    threshold : In(EVENT_BITS + 1)
    done : Out(1)
        Strobe.
    event : Out(1)
        Valid with `done`.
    """

    seed: In(KEY_BITS)
    load: In(1)
    sample: In(STEP_BITS)
    start: In(1)
    neuron: In(16)
    ask: In(1)
    threshold: In(EVENT_BITS + 1)
    done: Out(1)
    event: Out(1)

    def elaborate(self, platform):
        m = Module()
        m.submodules.schedule = schedule = KeySchedule()
        m.submodules.line_key = line_key = LineKey()
        # A seed, and a sample, that the schedule has not got yet.
        seeds, samples, asked = Signal(), Signal(), Signal()
        m.d.comb += [
            schedule.seed.eq(self.seed),
            schedule.verb.eq(Verb.DRIVE),
            schedule.step.eq(self.sample),
            schedule.load.eq(seeds & ~schedule.busy),
            schedule.start.eq(samples & ~seeds & ~schedule.busy),
            line_key.key.eq(schedule.key),
            line_key.index.eq(self.neuron),
            line_key.purpose.eq(Purpose.INPUT),
            line_key.i_valid.eq(
                self.ask & ~asked & ~(seeds | samples | schedule.busy | self.start | self.load)
            ),
            self.done.eq(line_key.o_valid),
            self.event.eq(line_key.o[:EVENT_BITS] < self.threshold),
        ]
        with m.If(schedule.load):
            m.d.sync += seeds.eq(0)
        with m.If(schedule.start):
            m.d.sync += samples.eq(0)
        with m.If(self.load):
            m.d.sync += seeds.eq(1)
        with m.If(self.start):
            m.d.sync += samples.eq(1)
        with m.If(line_key.i_valid):
            m.d.sync += asked.eq(1)
        with m.If(self.done):
            m.d.sync += asked.eq(0)
        return m

"""Makes operation keys for two askers: the verb at work, and the pulser beside it."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ohmgrid.hdl.base.noise import KeySchedule
from ohmgrid.hdl.base.pipeline import delayed
from ohmgrid.hdl.core.jobs import KEY

__all__ = ["KeyDesk"]


class KeyDesk(wiring.Component):
    """One `KeySchedule`; a verb goes before the pulser, and neither disturbs the other.

    Members
    -------
    seed : In(64), load : In(1)
        Strobe, of a verb: take the seed.
    verb, pulser : In(KEY)
        What they ask for; its number and step stay until it is done.
    verb_tile, pulser_tile : In(8)
        Number of the array that each is about.
    verb_done, pulser_done : Out(1)
        Strobe: ``key`` is what it asked for, in this cycle.
    key, planned : Out(64)
        The key that is there now, and the one that the pulser was given last.
    """

    verb: In(KEY)
    pulser: In(KEY)
    verb_tile: In(8)
    pulser_tile: In(8)
    seed: In(64)
    load: In(1)
    verb_done: Out(1)
    pulser_done: Out(1)
    key: Out(64)
    planned: Out(64)

    def elaborate(self, platform):
        m = Module()
        m.submodules.schedule = schedule = KeySchedule()
        of_pulser, waiting = Signal(), []
        # Registers: the states of engines reach every bit of the key.
        verb, pulser = delayed(m, self.verb, "verb_asked"), delayed(m, self.pulser, "pulser_asked")
        goes = [Signal(name=f"{name}_goes") for name in ("verb", "pulser")]
        for asked, go in zip((verb, pulser), goes, strict=True):
            waits = Signal(name="waits")
            m.d.sync += waits.eq((asked.start | waits) & ~go)
            waiting.append(asked.start | waits)
        m.d.comb += [
            goes[0].eq(waiting[0] & ~schedule.busy),
            goes[1].eq(waiting[1] & ~schedule.busy & ~waiting[0]),
            schedule.seed.eq(self.seed),
            schedule.load.eq(self.load),
            schedule.start.eq(goes[0] | goes[1]),
            schedule.verb.eq(Mux(goes[1], pulser.verb, verb.verb)),
            schedule.step.eq(Mux(goes[1], pulser.step, verb.step)),
            schedule.tile.eq(Mux(goes[1], self.pulser_tile, self.verb_tile)),
            self.key.eq(schedule.key),
            self.verb_done.eq(schedule.done & ~of_pulser),
            self.pulser_done.eq(schedule.done & of_pulser),
        ]
        with m.If(schedule.start | self.load):
            m.d.sync += of_pulser.eq(goes[1])
        with m.If(self.pulser_done):
            m.d.sync += self.planned.eq(self.key)
        return m

"""What no verb of the step table can do."""

from amaranth.hdl import Cat, Const, Module, Mux
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ohmgrid.config import Config
from ohmgrid.hdl.core.jobs import STEP
from ohmgrid.registers.steps import ARRAY_BITS, Bank, Func, StepVerb

__all__ = ["Misuse"]


class Misuse(wiring.Component):
    """Finds functions of other results than the last, vectors of another side, a plan for what is
    planned.

    Parameters
    ----------
    config : Config

    Members
    -------
    step : In(STEP)
    judged, results : In
        The last results are those of a forward MAC of this array, in the slot at work.
    kept, apart : In(1)
        The step's array is planned; its vectors are in a slot of their own.
    found : Out(1)
        The step cannot be done; a cycle later.
    """

    def __init__(self, config: Config):
        self._transfers, self._buffers = config.build.transfers, config.build.buffers
        flags = dict.fromkeys(("judged", "kept", "apart"), In(1))
        super().__init__({"step": In(STEP), "results": In(ARRAY_BITS), **flags, "found": Out(1)})

    def elaborate(self, platform):
        m = Module()
        step = self.step
        bank, func, back = step.dst[ARRAY_BITS:], step.func[:3], step.way[0]
        stores = bank != Bank.NONE
        own_results = self.judged & (self.results == step.array)
        own_errors = step.dst == Cat(step.array, Const(Bank.D, len(bank)))
        loss = (func == Func.SHARE) | (func == Func.SQUARED)
        side = Mux(back | self.apart, Bank.D, Bank.X)
        wrong = {
            StepVerb.TAKE: bank != Bank.X,
            StepVerb.WAIT: bank != Bank.D,
            StepVerb.MAC: (func != Mux(back & stores, Func.BELOW, Func.VALUE))
            | (stores & (bank != side)),
            StepVerb.LOSS: ~(own_results & loss & own_errors),
            StepVerb.SEND: ~own_results,
            StepVerb.COUNT: ~self.judged,
            StepVerb.PLAN: self.kept,
        }
        if self._transfers:
            wrong[StepVerb.LINE] = bank != Bank.X
            if not self._buffers:
                for verb in (StepVerb.SEND, StepVerb.WAIT):
                    wrong[verb] |= self.apart
        m.d.sync += self.found.eq(0)
        with m.Switch(step.verb):
            for verb, found in wrong.items():
                with m.Case(verb):
                    m.d.sync += self.found.eq(found)
        return m

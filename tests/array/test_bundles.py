"""Tokens: they come a cycle later with all they say, and a reset forgets them."""

import pytest
from amaranth.hdl import Module, ResetInserter, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ohmgrid.config import BuildConfig, Config
from ohmgrid.hdl.array.bundles import Token, branched, passed, visit_layout
from ohmgrid.sim.tables import run_clocked

VISIT = visit_layout(Config(build=BuildConfig(lanes=2, share=2, inputs=4, outputs=8)))


class Passes(wiring.Component):
    """A visit, registered."""

    def __init__(self, register):
        self._register = register
        visit = stream.Signature(VISIT, always_ready=True)
        super().__init__({"i": In(visit), "o": Out(visit)})

    def elaborate(self, platform):
        m = Module()
        later = self._register(m, Token(self.i.valid, self.i.payload), "later")
        m.d.comb += [self.o.valid.eq(later.valid), self.o.payload.eq(later.payload)]
        return m


@pytest.mark.parametrize("register", [passed, branched])
def test_a_token_comes_a_cycle_later_and_a_reset_forgets_it(register, rng):
    dut = Passes(register)
    reset = Signal()

    async def bench(ctx):
        for _ in range(40):
            valid, resets = rng.integers(0, 2, 2).tolist()
            word = int.from_bytes(rng.bytes(32)) % (1 << VISIT.size)
            ctx.set(dut.i.valid, valid)
            ctx.set(dut.i.payload.as_value(), word)
            ctx.set(reset, resets)
            await ctx.tick()
            assert ctx.get(dut.o.valid) == (valid and not resets)
            if ctx.get(dut.o.valid):
                assert ctx.get(dut.o.payload.as_value()) == word

    run_clocked(ResetInserter(reset)(dut), bench)

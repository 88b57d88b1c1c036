"""Shift and rounding by an amount that a job chooses: gateware equals the model."""

from functools import cached_property

import numpy as np
from amaranth.hdl import Const, Module, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from hypothesis import given
from hypothesis import strategies as st

from ohmgrid.hdl.base.timed import Stages, Timed
from ohmgrid.hdl.periphery.scaling import shift_rounded
from ohmgrid.model.base.arith import saturate, shift_round
from ohmgrid.sim.tables import run_pipeline

SEEDS = st.integers(0, 2**32 - 1)


class Shifter(wiring.Component):
    """`shift_rounded` and what saturates behind it, alone."""

    def __init__(self, bits: int, amount_bits: int, reach: int, dropped: int):
        self.reach, self.dropped = reach, dropped
        super().__init__(
            {
                "i": In(signed(bits)),
                "amount": In(amount_bits),
                "o": Out(signed(reach + 1)),
                "clipped": Out(1),
            }
        )

    def pipeline(self, m: Module) -> tuple[Timed, Timed]:
        pipe = Stages(m, Const(0), chains=True)
        amount = Timed(self.amount, 0, held=True)
        rounded = shift_rounded(pipe, "shift", Timed(self.i, 0), amount, self.reach, self.dropped)
        number, clipped = rounded.saturated(pipe, "shift", "number", self.reach + 1)
        return number, Timed(pipe.at(clipped, number.time), number.time)

    @cached_property
    def latency(self) -> int:
        return self.pipeline(Module())[0].time

    def elaborate(self, platform):
        m = Module()
        number, clipped = self.pipeline(m)
        m.d.comb += [self.o.eq(number.value), self.clipped.eq(clipped.value)]
        return m


@given(SEEDS, st.integers(2, 58), st.integers(1, 6), st.integers(2, 24), st.integers(0, 12))
def test_shift_rounded(seed, bits, amount_bits, reach, dropped):
    """Words of long runs of ones and zeros: what carries far, and what is almost out of reach."""
    rng = np.random.default_rng(seed)
    bits = max(bits, dropped + 2)
    amount = int(rng.integers(0, 1 << amount_bits))
    runs = [
        np.repeat(rng.integers(0, 2, bits), rng.integers(1, 40, bits))[:bits] for _ in range(99)
    ]
    words = [int("".join(map(str, run)), 2) for run in runs]
    values = np.array([word - ((word >> (bits - 1)) << bits) for word in words])
    dut = Shifter(bits, amount_bits, reach, dropped)
    found = run_pipeline(dut, {"i": values.tolist()}, ["o", "clipped"], {"amount": amount})
    # No more of the shift than empties a word: int64 has room for no more.
    exact = shift_round(values, min(dropped + amount + 1, 60))
    o = saturate(exact, reach + 1)
    assert found["o"] == o.tolist()
    assert found["clipped"] == (o != exact).tolist()

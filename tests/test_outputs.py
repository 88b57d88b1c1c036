"""Output noise, ADC, buffer and results: gateware equals model, with a stream that stalls."""

import numpy as np
from amaranth.sim import Simulator
from hypothesis import given
from hypothesis import strategies as st

from ohmgrid.config import ConverterConfig
from ohmgrid.hdl.outputs import Outputs
from ohmgrid.model.outputs import convert, results
from ohmgrid.registers import converter_registers

SUM_BITS = 34


@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 12),
    st.integers(2, 12),
    st.floats(0.0, 1.0),
    st.integers(0, 4),
)
def test_outputs_equal_the_model(seed, lines, adc_bits, noise, halvings):
    print(f"seed={seed}")
    rng = np.random.default_rng(seed)
    io = ConverterConfig(adc_bits=adc_bits, out_bound=4.0, out_noise=noise)
    registers = converter_registers(io, 2.0**-16)
    sums = rng.integers(-(2**26), 2**26, lines)
    key, alpha = int(rng.integers(0, 2**63)), int(rng.integers(0, 2**16))
    codes, saturated = convert(sums, key, halvings, registers, io.adc_half)
    dut = Outputs(SUM_BITS, 16)
    seen = []

    async def bench(ctx):
        settings = {
            "key": key, "sub": halvings, "scale": registers.scale, "shift": registers.shift,
            "noise": registers.noise, "half": io.adc_half, "lines": lines, "alpha": alpha,
            "halvings": halvings, "clear": 1,
        }  # fmt: skip
        for name, value in settings.items():
            ctx.set(getattr(dut, name), value)
        await ctx.tick()
        ctx.set(dut.clear, 0)
        for value in sums:
            ctx.set(dut.valid, 1)
            ctx.set(dut.sum, int(value))
            await ctx.tick()
            ctx.set(dut.valid, 0)
            await ctx.tick().repeat(int(rng.integers(0, 3)) + 1)
        while ctx.get(dut.count) != lines:
            await ctx.tick()
        assert ctx.get(dut.saturated) == saturated
        ctx.set(dut.send, 1)
        await ctx.tick()
        ctx.set(dut.send, 0)
        while ctx.get(dut.busy):
            ready = int(rng.integers(0, 2))
            ctx.set(dut.o.ready, ready)
            if ready and ctx.get(dut.o.valid):
                seen.append(ctx.get(dut.o.payload))
            await ctx.tick()

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    np.testing.assert_array_equal(seen, results(codes, alpha, halvings))

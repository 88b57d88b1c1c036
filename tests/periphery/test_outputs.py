"""Output noise, ADC, buffer and results: gateware equals model, with a stream that stalls."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from strategies import FEW

from ohmgrid.hdl.periphery.outputs import Outputs
from ohmgrid.model.periphery.outputs import convert, results
from ohmgrid.periphery import ConverterConfig
from ohmgrid.registers.edge import converter_registers
from ohmgrid.sim.tables import run_clocked

SUM_BITS, MAX_LINES = 34, 16


@FEW
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, MAX_LINES),
    st.integers(2, 12),
    st.floats(0.0, 1.0),
    st.integers(0, 7),
    st.booleans(),
)
def test_outputs_equal_the_model(seed, lines, adc_bits, noise, halvings, waits):
    print(f"seed={seed}")
    rng = np.random.default_rng(seed)
    io = ConverterConfig(adc_bits=adc_bits, out_bound=4.0, out_noise=noise)
    registers = converter_registers(io, 2.0**-16)
    sums = rng.integers(-(2**26), 2**26, lines)
    key, alpha = int(rng.integers(0, 2**63)), int(rng.integers(0, 2**16 + 1))
    codes, saturated = convert(sums, key, halvings, registers, io.adc_half)
    dut = Outputs(SUM_BITS, MAX_LINES)
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
        ctx.set(dut.valid, 1)
        for value in sums:
            ctx.set(dut.sum, int(value))
            await ctx.tick()
            if waits:
                ctx.set(dut.valid, 0)
                for _ in range(rng.integers(0, 3)):
                    await ctx.tick()
                ctx.set(dut.valid, 1)
        ctx.set(dut.valid, 0)
        if not waits:
            # The last sum was there one cycle ago.
            await ctx.tick().repeat(dut.latency - 2)
            assert ctx.get(dut.count) == lines - 1
            await ctx.tick()
        else:
            await ctx.tick().repeat(dut.latency)
        assert ctx.get(dut.count) == lines
        assert ctx.get(dut.saturated) == saturated
        ctx.set(dut.send, 1)
        await ctx.tick()
        ctx.set(dut.send, 0)
        cycles = 0
        while ctx.get(dut.busy):
            ready = not waits or int(rng.integers(0, 2))
            ctx.set(dut.o.ready, ready)
            if ready and ctx.get(dut.o.valid):
                seen.append(ctx.get(dut.o.payload))
            await ctx.tick()
            cycles += 1
            assert cycles < 1000, "the results do not come to an end"
        assert waits or cycles == dut.send_cycles(lines)

    run_clocked(dut, bench)
    np.testing.assert_array_equal(seen, results(codes, alpha, halvings))


@FEW
@given(st.integers(0, 2**32 - 1), st.integers(1, MAX_LINES), st.booleans())
def test_exact_sums_leave_as_they_came(seed, lines, waits):
    print(f"seed={seed}")
    rng = np.random.default_rng(seed)
    sums = rng.integers(-(2 ** (SUM_BITS - 1)), 2 ** (SUM_BITS - 1), lines).tolist()
    dut, seen = Outputs(SUM_BITS, MAX_LINES), []

    async def bench(ctx):
        settings = {"exact": 1, "lines": lines, "alpha": 5, "scale": 3, "noise": 7, "clear": 1}
        for name, value in settings.items():
            ctx.set(getattr(dut, name), value)
        await ctx.tick()
        ctx.set(dut.clear, 0)
        ctx.set(dut.valid, 1)
        for value in sums:
            ctx.set(dut.sum, value)
            await ctx.tick()
        ctx.set(dut.valid, 0)
        # They take the time of any other result.
        await ctx.tick().repeat(dut.latency - 2)
        assert ctx.get(dut.count) == lines - 1
        await ctx.tick()
        assert (ctx.get(dut.count), ctx.get(dut.saturated)) == (lines, 0)
        ctx.set(dut.send, 1)
        await ctx.tick()
        ctx.set(dut.send, 0)
        while ctx.get(dut.busy):
            ready = not waits or int(rng.integers(0, 2))
            ctx.set(dut.o.ready, ready)
            if ready and ctx.get(dut.o.valid):
                seen.append(ctx.get(dut.o.payload))
            await ctx.tick()

    run_clocked(dut, bench)
    assert seen == sums

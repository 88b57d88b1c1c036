"""Line values: codes, trains and keys of both sides equal the model, in the predicted cycles."""

import numpy as np
from amaranth.sim import Simulator
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from ohmgrid.config import PULSE_TYPES, BuildConfig, Config, ConverterConfig, PulseConfig
from ohmgrid.hdl.periphery.lines import Lines
from ohmgrid.hdl.periphery.pulses import TrainMaker
from ohmgrid.hdl.periphery.voltages import Voltages
from ohmgrid.model.periphery.converters import dac
from ohmgrid.model.periphery.lines import key_halves, side_trains
from ohmgrid.model.periphery.pulses import plan_update, probabilities
from ohmgrid.model.periphery.voltages import operands, voltages
from ohmgrid.registers.edge import pulse_registers
from ohmgrid.registers.noise import Purpose
from ohmgrid.registers.readout import DITHER_BITS, VOLTAGE_FRAC, Part, read_registers

MAX_ROWS, MAX_COLS = 6, 9
CONFIG = Config(build=BuildConfig(lanes=2, max_rows=MAX_ROWS, max_cols=MAX_COLS, train_groups=2))
SIDES = {"column": (0, Purpose.COLUMN), "row": (1, Purpose.ROW)}
GRANULARITY = 0.001


class Bench:
    """Both sides' lines in one simulation that runs job after job."""

    def __init__(self):
        self.dut = Lines(CONFIG)
        self.job = None
        self.simulator = Simulator(self.dut)
        self.simulator.add_clock(1e-6)
        self.simulator.add_testbench(self._jobs)

    async def _jobs(self, ctx):
        while True:
            if self.job is not None:
                await self.job(ctx)
                self.job = None
            await ctx.tick()

    def run(self, job) -> None:
        self.job = job
        while self.job is not None:
            self.simulator.advance()

    async def load(self, ctx, side: str, values, waits) -> None:
        """Bring a vector into a side's edge buffer."""
        dut = self.dut
        ctx.set(dut.side, SIDES[side][0])
        ctx.set(dut.count, len(values))
        ctx.set(dut.clear, 1)
        await ctx.tick()
        ctx.set(dut.clear, 0)
        for n, value in enumerate(values):
            for _ in range(waits[n % len(waits)]):
                await ctx.tick()
            ctx.set(dut.value, int(value))
            ctx.set(dut.take, 1)
            assert ctx.get(dut.taken) == (n == len(values) - 1)
            await ctx.tick()
            ctx.set(dut.take, 0)

    async def fill(self, ctx, side: str, count: int, **settings) -> int:
        """Run a pass; return its cycles."""
        dut = self.dut
        names = ("codes", "trains", "static_keys", "cycle_keys", "drive")
        values = dict.fromkeys(names, 0) | {"pace": 1} | settings
        for name, value in {**values, "side": SIDES[side][0], "count": count}.items():
            ctx.set(getattr(dut, name), int(value))
        ctx.set(dut.start, 1)
        for cycle in range(2000):
            # The list's last row comes when the pass has ended.
            if ctx.get(dut.list_clear):
                self.listed = []
            if ctx.get(dut.list_put):
                self.listed.append(ctx.get(dut.list_row))
            if not ctx.get(dut.busy):
                return cycle
            await ctx.tick()
            ctx.set(dut.start, 0)
        raise AssertionError("a pass does not end")

    async def read(self, ctx, side: str, name: str, count: int) -> list[int]:
        """Return what the sweep would read."""
        found = []
        for line in range(count):
            ctx.set(getattr(self.dut, f"{side}_address"), line)
            await ctx.tick()
            found.append(ctx.get(getattr(self.dut, f"{side}_{name}")))
        return found


BENCH = Bench()


def vector(rng: np.random.Generator, count: int, zeros: float) -> np.ndarray:
    values = rng.integers(-(1 << 15) + 1, 1 << 15, count) >> rng.integers(0, 15, count)
    return np.where(rng.random(count) < zeros, 0, values)


def both(first: np.ndarray, second: np.ndarray, each: int) -> np.ndarray:
    """Return the values of both devices of pairs in turn; ``first`` if ``each`` is 1."""
    return np.stack([first, second][:each], axis=1).ravel()


def joined(key: int, purpose: Purpose, count: int, sub: int = 0) -> np.ndarray:
    low, high = key_halves(key, purpose, count, sub)
    return low.astype(np.uint64) | high.astype(np.uint64) << np.uint64(32)


@given(
    seed=st.integers(0, 2**32 - 1),
    rows=st.integers(1, MAX_ROWS),
    cols=st.integers(1, MAX_COLS),
    pulses=st.builds(
        PulseConfig,
        pulse_type=st.sampled_from(PULSE_TYPES),
        desired_bl=st.integers(1, 31),
        update_management=st.booleans(),
        update_bl_management=st.booleans(),
    ),
    lr=st.sampled_from([1e-5, 1e-3, 0.02, 1.0]),
    halvings=st.integers(0, 7),
    slot=st.integers(0, 30),
    zeros=st.sampled_from([0.0, 0.3, 1.0]),
    part=st.sampled_from(list(Part)),
    dithered=st.booleans(),
    paired=st.booleans(),
)
def test_lines_equal_the_model(
    seed, rows, cols, pulses, lr, halvings, slot, zeros, part, dithered, paired
):
    """Of ``paired``, a value on the row side stands for two rows of devices."""
    print(f"seed={seed}")
    rows = max(1, rows // 2) if paired else rows
    rng = np.random.default_rng(seed)
    values = {"column": vector(rng, cols, zeros), "row": vector(rng, rows, zeros)}
    largest = {side: int(np.abs(v).max()) for side, v in values.items()}
    static_key, cycle_key = (int(key) for key in rng.integers(0, 2**63, 2))
    half = int(rng.choice([1, 63, 127]))
    formats = CONFIG.formats
    plan = plan_update(
        largest["column"],
        largest["row"],
        pulses,
        pulse_registers(CONFIG.replace(pulses=pulses), GRANULARITY, lr),
        (formats.x_frac, formats.d_frac),
    )
    mode = PULSE_TYPES.index(pulses.pulse_type)
    bits = half.bit_length() + 1
    io = ConverterConfig(dac_bits=bits, inp_noise=0.1, inp_asymmetry=0.2, inp_sto_round=dithered)
    reads = {side: read_registers(io, 2.0**-17, len(v)) for side, v in values.items()}
    fine = half << DITHER_BITS if dithered else half
    waits = rng.integers(0, 3, 5).tolist()
    seen = {}

    def devices(side: str) -> int:
        """Devices of an output or input."""
        return 2 if paired and side == "row" else 1

    async def job(ctx):
        ctx.set(BENCH.dut.paired, paired)
        for side in ("column", "row"):
            await BENCH.load(ctx, side, values[side], waits)
        for side in ("row", "column"):
            lines, each, alpha = len(values[side]), devices(side), max(1, largest[side])
            count, codes = each * lines, {"codes": 1, "pace": each}
            scale = {"factor": half, "top": half, "divisor": alpha << halvings}
            trains = {
                "factor": plan.x_factor if side == "column" else plan.d_factor,
                "divisor": plan.x_divisor if side == "column" else plan.d_divisor,
                "top": 1 << 16,
                "bl": plan.bl,
                "mode": mode,
                "key": cycle_key,
            }
            pace = max(1, -(-plan.bl // 8)) if mode == 0 else plan.bl if side == "row" else 1
            seen[side] = {
                "static pass": await BENCH.fill(
                    ctx, side, count, static_keys=1, key=static_key, sub=0, **scale
                ),
                "static": await BENCH.read(ctx, side, "static", count),
                "code pass": await BENCH.fill(ctx, side, lines, **codes, **scale),
                "code": await BENCH.read(ctx, side, "code", count),
                "drive pass": await BENCH.fill(
                    ctx,
                    side,
                    lines,
                    **codes,
                    drive=1,
                    part=part,
                    key=static_key,
                    sub=halvings,
                    **{name: getattr(reads[side], name) for name in Voltages.REGISTERS},
                    **{**scale, "factor": fine, "top": fine},
                ),
                "operand": await BENCH.read(ctx, side, "code", count),
                "power": ctx.get(BENCH.dut.power),
                "second code pass": await BENCH.fill(ctx, side, lines, **codes, drive=0, **scale),
                "key pass": await BENCH.fill(
                    ctx, side, count, cycle_keys=1, key=cycle_key, sub=slot, **scale
                ),
                "cycle of slot": await BENCH.read(ctx, side, "cycle", count),
            }
            if plan.bl:
                seen[side] |= {
                    "train pass": await BENCH.fill(
                        ctx, side, count, trains=1, cycle_keys=1, pace=pace, sub=0, **trains
                    ),
                    "train": await BENCH.read(ctx, side, "train", count),
                    "cycle": await BENCH.read(ctx, side, "cycle", count),
                    "sign": await BENCH.read(ctx, side, "sign", count),
                }
                p = probabilities(values[side], trains["factor"], trains["divisor"])
                steps = TrainMaker(2).steps(int(p[-1]), plan.bl, mode, side == "row")
                predicted = BENCH.dut.cycles(count, pace, steps)
                assert seen[side]["train pass"] == predicted
            # What other passes wrote is still there.
            assert await BENCH.read(ctx, side, "static", count) == seen[side]["static"]
            assert await BENCH.read(ctx, side, "code", count) == seen[side]["code"]
            assert ctx.get(getattr(BENCH.dut, f"{side}_max")) == largest[side]

    BENCH.run(job)
    for side, found in seen.items():
        _, purpose = SIDES[side]
        lines, each = len(values[side]), devices(side)
        count = each * lines
        for name in ("static pass", "key pass"):
            assert found[name] == BENCH.dut.cycles(count)
        assert found["code pass"] == BENCH.dut.cycles(lines, each)
        assert_array_equal(found["static"], joined(static_key, purpose, count))
        alpha = max(1, largest[side])
        expected = dac(values[side], alpha, halvings, half) << VOLTAGE_FRAC
        assert_array_equal(found["code"], both(expected, -expected, each))
        assert found["drive pass"] == BENCH.dut.cycles(lines, each, drive=True)
        codes = dac(values[side], alpha, halvings, fine)
        drive = operands(voltages(codes, static_key, halvings, reads[side]), part, reads[side])
        sizes = part in (Part.LOAD, Part.POWER)
        first, second = (0 * drive, drive) if sizes else (drive, -drive)
        assert_array_equal(found["operand"], both(drive if each == 1 else first, second, each))
        assert part != Part.POWER or found["power"] == drive.sum()
        low, _ = key_halves(cycle_key, purpose, count, slot)
        assert_array_equal(found["cycle of slot"], low)
        if plan.bl:
            low, _ = key_halves(cycle_key, purpose, count)
            trains = side_trains(values[side], purpose, plan, pulses.pulse_type, cycle_key)
            assert_array_equal(found["train"], trains.repeat(each))
            assert_array_equal(found["cycle"], low)
            assert_array_equal(found["sign"], (values[side] < 0).repeat(each))
            if side == "row":
                assert_array_equal(BENCH.listed, np.flatnonzero(found["train"]))

"""Line values: codes, trains and keys of both sides equal the model, in the predicted cycles."""

import numpy as np
from amaranth.sim import Simulator
from hypothesis import given, settings
from hypothesis import strategies as st
from keyed_lines import KeyedLines
from numpy.testing import assert_array_equal

from ohmgrid.config import BuildConfig, Config
from ohmgrid.hdl.periphery.pulses import TrainMaker
from ohmgrid.hdl.periphery.values import line_cycles
from ohmgrid.hdl.periphery.voltages import Voltages
from ohmgrid.model.periphery.converters import dac
from ohmgrid.model.periphery.lines import key_halves, side_trains
from ohmgrid.model.periphery.pulses import (
    PulsePlan,
    chunk_slots,
    chunks,
    plan_update,
    probabilities,
)
from ohmgrid.model.periphery.voltages import operands, voltages
from ohmgrid.periphery import PULSE_TYPES, SLOTS, ConverterConfig, PulseConfig
from ohmgrid.registers.edge import pulse_registers
from ohmgrid.registers.noise import Purpose
from ohmgrid.registers.readout import DITHER_BITS, VOLTAGE_FRAC, Part, read_registers

OUTPUTS, INPUTS = 8, 11
"""Lines of the memories; arrays lie anywhere in them."""
MAX_ROWS, MAX_COLS = 6, 9
CONFIG = Config(build=BuildConfig(lanes=2, inputs=INPUTS, outputs=OUTPUTS, train_groups=2))
SIDES = {"column": (0, Purpose.COLUMN), "row": (1, Purpose.ROW)}
KEYED = ("train", "sign", "static", "cycle")
"""Values that are there for each device of a pair."""
GRANULARITY = 0.001


class Bench:
    """Both sides' lines in one simulation that runs job after job."""

    def __init__(self, config: Config):
        self.config = config
        self.dut = KeyedLines(config)
        self.job = None
        self.listed: dict[str, list[int]] = {"codes": [], "pulses": []}
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

    async def load(self, ctx, side: str, first: int, values, waits) -> None:
        """Bring a vector into a side's edge buffer."""
        dut = self.dut
        vector = {"side": SIDES[side][0], "count": len(values), "first": first}
        ctx.set(dut.vector, vector | {"clear": 1})
        await ctx.tick()
        for n, value in enumerate(values):
            ctx.set(dut.vector, vector)
            for _ in range(waits[n % len(waits)]):
                await ctx.tick()
            ctx.set(dut.value, int(value))
            ctx.set(dut.vector, vector | {"take": 1})
            assert ctx.get(dut.taken) == (n == len(values) - 1)
            await ctx.tick()
        ctx.set(dut.vector, {})

    def look(self, ctx) -> None:
        """Put down what is listed now."""
        for name, listed in self.listed.items():
            made = getattr(self.dut, name)
            if ctx.get(made.clear):
                listed.clear()
            if ctx.get(made.put):
                listed.append(ctx.get(made.line))

    async def fill(self, ctx, side: str, key: int = 0, **job: int) -> int:
        """Run a pass, of trains if it has a ``pace``; return its cycles."""
        dut = self.dut
        job = {"side": SIDES[side][0]} | {name: int(job[name]) for name in job}
        port, busy = (dut.trains, dut.trains_busy) if "pace" in job else (dut.job, dut.busy)
        ctx.set(dut.key, key)
        ctx.set(port, job | {"start": 1})
        for cycle in range(2000):
            # The list's last line comes when the pass has ended.
            self.look(ctx)
            if not ctx.get(busy):
                return cycle
            await ctx.tick()
            ctx.set(port, job)
        raise AssertionError("a pass does not end")

    async def read(self, ctx, side: str, name: str, lines: range) -> list[int]:
        """Return what the sweep would read, an address a cycle: of rows' keys, devices."""
        dut, found = self.dut, []
        port = dut.column_line if side == "column" else dut.row_line
        if side == "row" and name in KEYED:
            port = dut.row_key
        latency = line_cycles(self.config)
        for n in range(len(lines) + latency):
            if n < len(lines):
                ctx.set(port, lines[n])
            if n >= latency:
                found.append(ctx.get(getattr(dut, f"{side}s")[name]))
            await ctx.tick()
        return found


BENCH = Bench(CONFIG)
COMPUTED = Bench(CONFIG.replace(build={"computed_keys": True, "read_physics": False}))


def vector(rng: np.random.Generator, count: int, zeros: float) -> np.ndarray:
    values = rng.integers(-(1 << 15) + 1, 1 << 15, count) >> rng.integers(0, 15, count)
    return np.where(rng.random(count) < zeros, 0, values)


def joined(key: int, purpose: Purpose, count: int, sub: int = 0) -> np.ndarray:
    low, high = key_halves(key, purpose, count, sub)
    return low.astype(np.uint64) | high.astype(np.uint64) << np.uint64(32)


@settings(max_examples=8)
@given(
    seed=st.integers(0, 2**32 - 1),
    rows=st.integers(1, MAX_ROWS),
    cols=st.integers(1, MAX_COLS),
    pulses=st.builds(
        PulseConfig,
        pulse_type=st.sampled_from(PULSE_TYPES),
        desired_bl=st.integers(1, 127),
        update_management=st.booleans(),
        update_bl_management=st.booleans(),
    ),
    lr=st.sampled_from([1e-5, 1e-3, 0.02, 1.0]),
    halvings=st.integers(0, 7),
    slot=st.integers(0, 126),
    zeros=st.sampled_from([0.0, 0.3, 1.0]),
    part=st.sampled_from(list(Part)),
    dithered=st.booleans(),
    paired=st.booleans(),
    turned=st.booleans(),
)
def test_lines_equal_the_model(
    seed, rows, cols, pulses, lr, halvings, slot, zeros, part, dithered, paired, turned
):
    """Of ``paired``, a row stands for two devices with keys of their own."""
    print(f"seed={seed}")
    each = {"column": 1, "row": 2 if paired else 1}
    rows = max(1, rows // each["row"])
    rng = np.random.default_rng(seed)
    values = {"column": vector(rng, cols, zeros), "row": vector(rng, rows, zeros)}
    depths = {"column": INPUTS, "row": OUTPUTS}
    firsts = {
        side: int(rng.integers(depths[side] // each[side] - len(values[side]) + 1))
        for side in SIDES
    }
    largest = {side: int(np.abs(v).max()) for side, v in values.items()}
    old_key, static_key, cycle_key = (int(key) for key in rng.integers(0, 2**63, 3))
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
    serial_side = "column" if turned else "row"
    maker = TrainMaker(2)

    async def check(ctx, side: str):
        """Run all passes of a side, one after the other."""
        bench, purpose = BENCH, SIDES[side][1]
        found, first = values[side], firsts[side]
        count, devices = len(found), each[side] * len(found)
        at = range(first, first + count)
        device_at = range(each[side] * first, each[side] * first + devices)
        place = {"first": first, "paired": paired, "turned": turned}
        lines = place | {"count": count}
        keys = place | {"count": devices}
        alpha = max(1, largest[side])
        scale = {"factor": half, "top": half, "divisor": alpha << halvings}

        def listed(words, name="codes"):
            """Check that the list is that of serial lines with a word."""
            if side == serial_side:
                found = [n for n, word in zip(at, words, strict=True) if word]
                assert bench.listed[name] == found

        whole = range(depths[side])
        await bench.fill(ctx, side, old_key, static_keys=1, count=len(whole))
        await bench.load(ctx, side, first, found, waits)
        cycles = await bench.fill(ctx, side, static_key, static_keys=1, **keys)
        assert cycles == bench.dut.cycles(devices, keys=True)
        static = joined(old_key, purpose, len(whole))
        static[device_at.start : device_at.stop] = joined(static_key, purpose, devices)
        assert_array_equal(await bench.read(ctx, side, "static", whole), static)

        exact = {"factor": 1, "top": (1 << 17) - 1, "divisor": 1, "exact": 1}
        await bench.fill(ctx, side, codes=1, **lines, **exact)
        assert_array_equal(await bench.read(ctx, side, "code", at), found)
        listed(found)

        for name in Voltages.REGISTERS:
            ctx.set(getattr(bench.dut, name), getattr(reads[side], name))
        driven = scale | {"factor": fine, "top": fine, "drive": 1, "part": part, "sub": halvings}
        cycles = await bench.fill(ctx, side, static_key, codes=1, **lines, **driven)
        assert cycles == bench.dut.cycles(count, drive=True)
        codes = dac(found, alpha, halvings, fine)
        drive = operands(voltages(codes, static_key, halvings, reads[side]), part, reads[side])
        assert_array_equal(await bench.read(ctx, side, "code", at), drive)
        assert part != Part.POWER or ctx.get(bench.dut.power) == drive.sum()
        listed(drive)

        cycles = await bench.fill(ctx, side, codes=1, **lines, **scale)
        assert cycles == bench.dut.cycles(count)
        codes = dac(found, alpha, halvings, half) << VOLTAGE_FRAC
        assert_array_equal(await bench.read(ctx, side, "code", at), codes)
        listed(codes)

        # Keys alone, of either pass; they leave the lists.
        for n, job in enumerate(({"cycle_keys": 1}, {"pace": 1})):
            cycles = await bench.fill(ctx, side, cycle_key, sub=slot + n, **job, **keys)
            assert cycles == bench.dut.cycles(devices, keys=True)
            low, _ = key_halves(cycle_key, purpose, devices, slot + n)
            assert_array_equal(await bench.read(ctx, side, "cycle", device_at), low)
            listed(codes)

        factor, divisor = (
            (plan.x_factor, plan.x_divisor) if side == "column" else (plan.d_factor, plan.d_divisor)
        )
        probability = probabilities(found, factor, divisor)
        train_scale = {"factor": factor, "divisor": divisor}
        for chunk in range(chunks(plan.bl)):
            size = chunk_slots(plan.bl, chunk)
            of_row = SLOTS * chunk + size if side == "row" else 1
            pace = -(-size // 8) if mode == 0 else of_row
            job = {"bl": plan.bl, "chunk": chunk, "mode": mode, "pace": pace, "sub": chunk}
            job["trains"] = 1
            cycles = await bench.fill(ctx, side, cycle_key, **keys, **train_scale, **job)
            steps = maker.steps(int(probability[-1]), plan.bl, mode, side == "row", chunk)
            assert cycles == bench.dut.cycles(devices, pace, steps)
            trains = side_trains(found, purpose, plan, pulses.pulse_type, cycle_key, chunk)
            of_devices = trains.repeat(each[side])
            assert_array_equal(await bench.read(ctx, side, "train", device_at), of_devices)
            low, _ = key_halves(cycle_key, purpose, devices, chunk)
            assert_array_equal(await bench.read(ctx, side, "cycle", device_at), low)
            signs = (found < 0).repeat(each[side])
            assert_array_equal(await bench.read(ctx, side, "sign", device_at), signs)
            listed(trains, "pulses")
        listed(codes)
        # What other passes wrote is still there.
        assert_array_equal(await bench.read(ctx, side, "static", whole), static)
        assert_array_equal(await bench.read(ctx, side, "code", at), codes)
        assert ctx.get(getattr(bench.dut, f"{side}_max")) == largest[side]

    async def job(ctx):
        for side in ("column", "row"):
            await check(ctx, side)

    BENCH.run(job)


@settings(max_examples=8)
@given(
    seed=st.integers(0, 2**32 - 1),
    rows=st.integers(1, MAX_ROWS),
    paired=st.booleans(),
    sub=st.integers(0, 126),
)
def test_keys_that_are_computed_equal_the_model(seed, rows, paired, sub):
    """At any time, of any line of an array, by its number there; beside codes of the same time."""
    print(f"seed={seed}")
    rng = np.random.default_rng(seed)
    each = 2 if paired else 1
    rows = max(1, rows // each)
    values = rng.integers(-127, 128, rows)
    first = int(rng.integers(OUTPUTS // each - rows + 1))
    static_key, cycle_key = (int(key) for key in rng.integers(0, 2**63, 2))

    async def job(ctx):
        bench = COMPUTED
        await bench.load(ctx, "row", first, values, [0])
        place = {"first": first, "paired": paired, "count": rows}
        scale = {"factor": 127, "top": 127, "divisor": max(1, int(np.abs(values).max()))}
        cycles = await bench.fill(ctx, "row", codes=1, **place, **scale)
        assert cycles == bench.dut.cycles(rows)
        keys = {"static": static_key, "sub": sub, "row": each * first, "column": 2}
        ctx.set(bench.dut.keys, keys | {"cycle": cycle_key})
        lines = range(first, first + rows)
        codes = dac(values, scale["divisor"], 0, 127)
        assert_array_equal(await bench.read(ctx, "row", "code", lines), codes)
        for side, count, start in (("row", each * rows, each * first), ("column", 5, 2)):
            _, purpose = SIDES[side]
            at = range(start, start + count)
            static = joined(static_key, purpose, count)
            assert_array_equal(await bench.read(ctx, side, "static", at), static)
            low, _ = key_halves(cycle_key, purpose, count, sub)
            assert_array_equal(await bench.read(ctx, side, "cycle", at), low)

    COMPUTED.run(job)


@settings(max_examples=8)
@given(
    seed=st.integers(0, 2**32 - 1),
    zeros=st.sampled_from([0.0, 0.6, 1.0]),
    mode=st.sampled_from(range(len(PULSE_TYPES))),
)
def test_passes_go_over_columns_of_0(seed, zeros, mode):
    """Codes, trains, keys and list are those of a whole pass, where the vector is not 0."""
    print(f"seed={seed}")
    rng = np.random.default_rng(seed)
    count = int(rng.integers(1, MAX_COLS))
    values = vector(rng, count, zeros)
    first, key = int(rng.integers(INPUTS - count + 1)), int(rng.integers(2**63))
    some = np.flatnonzero(values)
    bl = int(rng.integers(1, SLOTS + 1))
    largest = max(1, int(np.abs(values).max()))
    probability = probabilities(values, 1 << 15, largest)
    plan = PulsePlan(bl, 1 << 15, largest, 1 << 15, largest)

    async def job(ctx):
        bench = BENCH
        await bench.load(ctx, "column", first, values, [0, 2])
        await ctx.tick().repeat(2)
        assert ctx.get(bench.dut.column_count) == len(some)
        at = range(first, first + count)
        skip = {"first": first, "count": len(some), "turned": 1, "skip": 1}
        await bench.fill(ctx, "column", codes=1, **skip, factor=127, top=127, divisor=largest)
        codes = dac(values, largest, 0, 127) << VOLTAGE_FRAC
        found = np.array(await bench.read(ctx, "column", "code", at))
        assert_array_equal(found[some], codes[some])
        assert bench.listed["codes"] == [first + line for line in some if codes[line]]

        scale = {"factor": 1 << 15, "divisor": largest}
        pace = -(-bl // 8) if mode == 0 else 1
        train = {"trains": 1, "bl": bl, "mode": mode, "pace": pace}
        await bench.fill(ctx, "column", key, **skip, **scale, **train)
        trains = side_trains(values, Purpose.COLUMN, plan, PULSE_TYPES[mode], key, 0)
        found = np.array(await bench.read(ctx, "column", "train", at))
        assert_array_equal(found[some], trains[some])
        assert bench.listed["pulses"] == [first + line for line in some if trains[line]]
        low, _ = key_halves(key, Purpose.COLUMN, count, 0)
        found = np.array(await bench.read(ctx, "column", "cycle", at))
        assert_array_equal(found[some], low[some])
        assert (probability[some] > 0).any() or not trains.any()

    BENCH.run(job)


@settings(max_examples=8)
@given(
    seed=st.integers(0, 2**32 - 1),
    sides=st.tuples(st.sampled_from(list(SIDES)), st.sampled_from(list(SIDES))),
    mode=st.sampled_from(range(len(PULSE_TYPES))),
    zeros=st.sampled_from([0.0, 0.6]),
    skips=st.booleans(),
)
def test_codes_and_trains_do_not_disturb_each_other(seed, sides, mode, zeros, skips):
    """A pass of either at the same time, begun at any time, beside looks at activations."""
    print(f"seed={seed}")
    rng = np.random.default_rng(seed)
    coded, trained = sides
    values = {side: vector(rng, int(rng.integers(1, MAX_ROWS)), zeros) for side in SIDES}
    firsts = {
        side: int(rng.integers(depth - len(values[side]) + 1))
        for side, depth in (("column", INPUTS), ("row", OUTPUTS))
    }
    key, bl = int(rng.integers(2**63)), int(rng.integers(1, SLOTS + 1))
    largest = {side: max(1, int(np.abs(found).max())) for side, found in values.items()}
    plan = PulsePlan(bl, 1 << 15, largest[trained], 1 << 15, largest[trained])
    pace = -(-bl // 8) if mode == 0 else bl
    begins = rng.integers(0, 60, 2).tolist()
    looks = rng.random(400) < 0.5
    # Keys are made for others too, often for some cycles in a row.
    others = np.repeat(rng.random(100) < rng.choice([0.0, 0.3, 0.7]), 4)
    others[300:] = False
    place = int(rng.integers(len(values["column"])))

    async def job(ctx):
        bench, dut = BENCH, BENCH.dut
        for side, found in values.items():
            await bench.load(ctx, side, firsts[side], found, [0])
        await ctx.tick().repeat(2)

        def lines(side):
            """Return which lines of a side a pass goes through."""
            count = len(values[side])
            some = {"skip": skips, "count": ctx.get(dut.column_count) if skips else count}
            return {"side": SIDES[side][0], "first": firsts[side], "count": count} | (
                some if side == "column" else {}
            )

        codes = lines(coded) | {"codes": 1, "factor": 127, "top": 127, "divisor": largest[coded]}
        trains = lines(trained) | {"trains": 1, "bl": bl, "mode": mode, "pace": pace}
        trains |= {"factor": 1 << 15, "divisor": largest[trained]}
        jobs = ((dut.job, codes), (dut.trains, trains))
        ctx.set(dut.key, key)
        looked = []
        for cycle in range(len(looks)):
            for begin, (port, what) in zip(begins, jobs, strict=True):
                ctx.set(port, {name: int(what[name]) for name in what} | {"start": cycle == begin})
            ctx.set(dut.look, firsts["column"] + place if looks[cycle] else 0)
            ctx.set(dut.others, int(others[cycle]))
            if cycle > 1 and looks[cycle - 2]:
                looked.append(ctx.get(dut.looked))
            await ctx.tick()
        ctx.set(dut.others, 0)
        assert not ctx.get(dut.busy)
        assert not ctx.get(dut.trains_busy)
        assert set(looked) <= {int(values["column"][place])}
        some = {side: np.flatnonzero(values[side]) for side in SIDES}
        at = {side: range(firsts[side], firsts[side] + len(values[side])) for side in SIDES}
        found = np.array(await bench.read(ctx, coded, "code", at[coded]))
        made = dac(values[coded], largest[coded], 0, 127) << VOLTAGE_FRAC
        assert_array_equal(found[some[coded]], made[some[coded]])
        found = np.array(await bench.read(ctx, trained, "train", at[trained]))
        purpose = SIDES[trained][1]
        made = side_trains(values[trained], purpose, plan, PULSE_TYPES[mode], key, 0)
        assert_array_equal(found[some[trained]], made[some[trained]])
        found = np.array(await bench.read(ctx, trained, "cycle", at[trained]))
        low, _ = key_halves(key, purpose, len(found))
        assert_array_equal(found[some[trained]], low[some[trained]])

    BENCH.run(job)

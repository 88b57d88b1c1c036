"""Layer arithmetic: every job of the gateware equals the model's functions, bit for bit."""

from typing import NamedTuple

import numpy as np
import pytest
from amaranth.hdl import ResetInserter, Signal
from hypothesis import given
from hypothesis import strategies as st
from strategies import FEW

from ohmgrid.config import BuildConfig, Config, FormatConfig
from ohmgrid.hdl.periphery.functions import Functions
from ohmgrid.model.base.arith import at_edge, shift_round
from ohmgrid.model.core.core import Core
from ohmgrid.model.core.sequencer import Sequencer
from ohmgrid.model.periphery import functions as model
from ohmgrid.net import LOSSES, Net
from ohmgrid.registers.layers import (
    ACTIVATIONS,
    INDEX_SHIFT,
    LINEAR,
    RELU_X_FRAC,
    TABLE_SIZE,
    Scale,
    activation_table,
    exp_tables,
    half_table,
    scale_registers,
)
from ohmgrid.registers.steps import ARRAY_BITS, Bank, Func, StepVerb
from ohmgrid.sim.tables import run_clocked

SEEDS = st.integers(0, 2**32 - 1)
RELU = ACTIVATIONS.index("relu")


class Vector(NamedTuple):
    """A job and its operands, and what the model makes of them."""

    job: dict[str, int]
    entries: dict[int, int]
    """Places of the half table that the job reads, and what stands there."""
    i: np.ndarray
    label: np.ndarray
    activation: np.ndarray
    o: np.ndarray
    clipped_activation: np.ndarray
    clipped_error: np.ndarray
    sums: dict[str, int]
    """What stands when all is out."""


def table_of(kind: int, x_frac: int) -> np.ndarray:
    return np.array(activation_table(ACTIVATIONS[kind], x_frac) if kind < RELU else ())


def entries_of(kind: int, x_frac: int, pre: np.ndarray) -> dict[int, int]:
    """Return the entries of the half table that these scaled results need."""
    if kind >= RELU:
        return {}
    half = half_table(ACTIVATIONS[kind], x_frac)
    last = TABLE_SIZE // 2 - 1
    index = np.where(pre < 0, ~(pre >> INDEX_SHIFT), pre >> INDEX_SHIFT)
    return {place: half[place] for place in np.minimum(index, last).tolist()}


def vector(
    func: Func, kind: int, scale: Scale, i: np.ndarray, label: np.ndarray, pre: np.ndarray,
    config: Config,
) -> Vector:  # fmt: skip
    """Make a vector; ``pre``: scaled results that gave the activations of a BELOW job."""
    formats = config.formats
    top = (1 << (formats.edge_bits - 1)) - 1
    table, none = table_of(kind, formats.x_frac), np.zeros(len(i), bool)
    scaled = shift_round(i * scale.mantissa, scale.shift)
    activation, entries, sums = np.zeros_like(i), {}, {}
    over, lost = none, none
    if func in (Func.VALUE, Func.SQUARED):
        sums = {"maximum": int(i.max()), "best": int(i.argmax())}
        entries = entries_of(kind, formats.x_frac, scaled)
        o, over = model.activate(scaled, kind, table, formats.x_frac, top)
        slope = model.slope_of(o, kind, formats.x_frac)
        if func == Func.SQUARED:
            miss = o - label * min(1 << formats.x_frac, top)
            o, lost = model.squared_error(miss, slope, formats.x_frac, formats.d_frac, top)
            sums["squares"] = int(model.half_squares(miss @ miss, formats.x_frac))
    elif func == Func.BELOW:
        activation, _ = model.activate(pre, kind, table, formats.x_frac, top)
        slope = model.slope_of(activation, kind, formats.x_frac)
        o, lost = model.error_below(scaled, slope, top)
    else:
        far = shift_round((i.max() - i) * scale.mantissa, scale.shift)
        o = model.exponential(far, *map(np.array, exp_tables()))
        sums = {"total": int(o.sum())}
    job = {
        "func": func, "kind": kind, "mantissa": scale.mantissa, "shift": scale.shift,
        "x_frac": formats.x_frac, "d_frac": formats.d_frac,
    }  # fmt: skip
    return Vector(job, entries, i, label, activation, o, over, lost, sums)


def results(rng: np.random.Generator, scale: Scale, bits: int, count: int) -> np.ndarray:
    """Make results of all sizes, most of them near what tables and edges see, and both ends."""
    top = (1 << (bits - 1)) - 1
    far = rng.integers(-top, top, count, endpoint=True) >> rng.integers(0, bits, count)
    reach = 1 << rng.integers(1, 23, count)
    pre = rng.uniform(-1, 1, count) * reach
    # Half an LSB from an integer, or near it: ties where the scale lets there be any.
    pre = np.where(rng.random(count) < 0.5, np.floor(pre) + 0.5, pre)
    near = np.clip(np.rint(pre * 2.0**scale.shift / scale.mantissa), -top, top).astype(np.int64)
    chosen = np.where(rng.random(count) < 0.75, near, far)
    chosen[rng.integers(0, count, 3)] = [top, -top, 0]
    return chosen


def scales(rng: np.random.Generator, bits: int) -> Scale:
    """Make a scale that brings results of so many bits to all sizes; ties are frequent in some."""
    usual, all_there_are = (-38 if bits > 36 else -34, 2), (-41.4, 16.4)
    exponent = rng.uniform(*(usual if rng.random() < 0.8 else all_there_are))
    return scale_registers("scale", 2.0 ** (round(exponent) if rng.random() < 0.5 else exponent))


def result_bits(config: Config) -> int:
    return 40 if config.build.read_physics else 35


def random_vector(rng: np.random.Generator, config: Config, func: Func) -> Vector:
    bits, count = result_bits(config), int(rng.integers(3, 20))
    scale = scales(rng, bits)
    kind = int(rng.choice([0, 1, LINEAR] if func == Func.SQUARED else [0, 1, 2, 3]))
    i = results(rng, scale, bits, count)
    if rng.random() < 0.3:
        # The largest comes more than once.
        i[rng.integers(0, count, 2)] = i.max()
    label = (np.arange(count) == rng.integers(0, count)).astype(np.int64)
    pre = rng.integers(-(1 << 16), 1 << 16, count) >> rng.integers(0, 17, count)
    return vector(func, kind, scale, i, label, pre, config)


class Bench:
    """Drives vectors through the unit, looks at what comes out, cycle by cycle."""

    def __init__(self, config: Config):
        self.config, self.dut = config, Functions(config)
        self.reset = Signal()
        self.latency, self.squares_latency = self.dut.latency, self.dut.squares_latency
        self.activation_time = self.dut.activation_time
        self.cycles: list[dict[str, int]] = []
        self.expected: dict[int, tuple[int, int, int]] = {}
        self.sums: dict[str, int] = {}
        self.due: dict[str, int] = {}
        """When these stand."""
        self.stands: dict[int, dict[str, int]] = {}

    def row(self, **ports: int) -> None:
        self.cycles.append(ports)

    def wait(self, cycles: int) -> None:
        self.cycles += [{} for _ in range(cycles)]

    def add(self, one: Vector, rng: np.random.Generator, gaps: bool, stop: int | None = None):
        """Add a vector; ``stop``: so many of its values, then a reset."""
        for place, word in one.entries.items():
            self.row(table_en=1, table_address=place, table_data=word)
        if one.job["func"] == Func.SHARE:
            self.add(self.largest_pass(one), rng, gaps=False)
        self.row(**{f"job_{name}": value for name, value in one.job.items()})
        self.row(start=1)
        first = len(self.cycles)
        for k in range(len(one.i) if stop is None else stop):
            if gaps:
                self.wait(int(rng.integers(0, 3)))
            self.expected[len(self.cycles)] = (
                int(one.o[k]), int(one.clipped_activation[k]), int(one.clipped_error[k]),
            )  # fmt: skip
            self.row(i_valid=1, i=int(one.i[k]), label=int(one.label[k]))
        activations = {
            cycle + self.activation_time: int(value)
            for cycle, value in zip(
                [n for n in range(first, len(self.cycles)) if "i_valid" in self.cycles[n]],
                one.activation,
                strict=False,
            )
        }
        if stop is not None:
            # Those that are out in the cycle of the reset or before count.
            now = len(self.cycles)
            self.expected = {n: o for n, o in self.expected.items() if n + self.latency <= now}
            self.sums = {"total": 0, "squares": 0}
            self.due = dict.fromkeys(self.sums, now)
            self.row(reset=1)
            self.wait(self.latency)
        else:
            last = len(self.cycles) - 1
            self.wait(self.latency)
            now = len(self.cycles)
            # What other jobs found before stays.
            self.sums = self.sums | one.sums
            self.due |= dict.fromkeys(one.sums, now)
            if "squares" in one.sums:
                self.due["squares"] = last + self.squares_latency
            self.stands[now] = {n: value for n, value in self.sums.items() if now >= self.due[n]}
        for cycle, value in activations.items():
            self.cycles[cycle]["activation"] = value

    def largest_pass(self, share: Vector) -> Vector:
        """Return the VALUE job that finds a SHARE job's largest result; its values are nobody's."""
        scale = Scale(share.job["mantissa"], share.job["shift"])
        nothing = np.zeros_like(share.i)
        return vector(Func.VALUE, LINEAR, scale, share.i, nothing, nothing, self.config)

    def run(self) -> None:
        """Simulate; compare every cycle."""
        dut = self.dut
        self.wait(self.squares_latency)
        self.stands[len(self.cycles) - 1] = self.sums
        seen: dict[int, tuple[int, ...]] = {}
        signals = {
            **{f"job_{name}": getattr(dut.job, name) for name in dut.job.shape().members},
            **{f"table_{name}": getattr(dut.table_write, name) for name in ("address", "data")},
        }
        strobes = {"start": dut.start, "i_valid": dut.i_valid, "table_en": dut.table_write.en}
        strobes |= {"reset": self.reset}

        async def bench(ctx):
            for cycle, row in enumerate(self.cycles):
                for name, port in strobes.items():
                    ctx.set(port, row.get(name, 0))
                for name, value in row.items():
                    if name not in strobes:
                        ctx.set(signals.get(name, getattr(dut, name, None)), int(value))
                if ctx.get(dut.o_valid):
                    names = ("o", "clipped_activation", "clipped_error")
                    seen[cycle - self.latency] = tuple(ctx.get(getattr(dut, n)) for n in names)
                if cycle in self.stands:
                    found = {name: ctx.get(getattr(dut, name)) for name in self.stands[cycle]}
                    assert found == self.stands[cycle]
                await ctx.tick()

        run_clocked(ResetInserter(self.reset)(dut), bench)
        assert seen == self.expected


def configs(edge_bits: int, x_frac: int, d_frac: int, read_physics: bool) -> Config:
    formats = FormatConfig(edge_bits=edge_bits, x_frac=x_frac, d_frac=d_frac)
    return Config(
        formats=formats, build=BuildConfig(inputs=64, outputs=64, read_physics=read_physics)
    )


CONFIGS = (st.just(16) | st.integers(9, 16)).flatmap(
    lambda bits: st.builds(
        configs, st.just(bits), st.integers(8, bits - 1), st.integers(4, bits - 1), st.booleans()
    )
)


@FEW
@given(SEEDS, CONFIGS, st.booleans())
def test_every_job_is_the_model(seed, config, gaps):
    rng, bench = np.random.default_rng(seed), Bench(config)
    for func in rng.permutation([*Func, *Func]):
        bench.add(random_vector(rng, config, Func(func)), rng, gaps)
    bench.run()


def test_errors_of_outputs_far_beyond_an_edge(rng):
    """Values of all sizes, times 128."""
    config = configs(16, 8, 15, read_physics=False)
    scale = scale_registers("scale", 1.0)
    i = rng.integers(-(1 << 15), 1 << 15, 64) >> rng.integers(0, 10, 64)
    none = np.zeros_like(i)
    bench = Bench(config)
    bench.add(vector(Func.SQUARED, LINEAR, scale, i, none, none, config), rng, gaps=False)
    bench.run()


@FEW
@given(SEEDS, CONFIGS, st.sampled_from([*Func]))
def test_a_reset_forgets_values_and_sums(seed, config, func):
    rng, bench = np.random.default_rng(seed), Bench(config)
    cut = random_vector(rng, config, func)
    bench.add(cut, rng, gaps=False, stop=int(rng.integers(1, len(cut.i))))
    bench.add(random_vector(rng, config, func), rng, gaps=True)
    bench.run()


class Recorder(Sequencer):
    """The golden interpreter; keeps the results of each layer, and what it made of them."""

    def __init__(self, core: Core):
        super().__init__(core.config, core.tiles, core.scales, core.table)
        self.y: dict[int, np.ndarray] = {}
        self.z: dict[int, np.ndarray] = {}
        self.values: dict[int, np.ndarray] = {}
        self.errors: dict[int, np.ndarray] = {}

    def _multiply(self, step):
        super()._multiply(step)
        (self.z if step.way else self.y)[step.array] = self._results

    def _put(self, step, values):
        super()._put(step, values)
        array = step.dst & (1 << ARRAY_BITS) - 1
        if step.dst >> ARRAY_BITS == Bank.D:
            self.errors[array] = values
        elif step.verb == StepVerb.MAC:
            self.values[array - 1] = values


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_an_example_of_the_golden_core(rng, activation, loss):
    """From all its results to all that goes to an edge, its counters, and its answer."""
    frac = RELU_X_FRAC if activation == "relu" else 12
    config = Config(seed=int(rng.integers(1 << 32)), formats=FormatConfig(x_frac=frac))
    net = Net((20, 12, 9, 10), activation, loss)
    core, bench, last = Core(config, net), Bench(config), 2
    core.initialise()
    core._sequencer = seen = Recorder(core)
    label = int(rng.integers(10))
    answer = core.train_one(rng.integers(0, 1 << frac, 20), label, 0.01)
    kind, d_frac = ACTIVATIONS.index(activation), config.formats.d_frac
    top = (1 << (config.formats.edge_bits - 1)) - 1
    onehot = np.eye(10, dtype=np.int64)[label]

    def add(func: Func, kind: int, number: int, i: np.ndarray, **more: np.ndarray) -> Vector:
        none = np.zeros_like(i)
        scale = core.scales[2 * number + (func == Func.BELOW)]
        operands = {"label": none, "pre": none, "config": config, **more}
        made = vector(func, kind, scale, i, **operands)
        bench.add(made, rng, gaps=False)
        return made

    def pre(number: int) -> np.ndarray:
        scale = core.scales[2 * number]
        return shift_round(seen.y[number] * scale.mantissa, scale.shift)

    clipped = np.zeros((2, 3), np.int64)
    for number in range(last):
        made = add(Func.VALUE, kind, number, seen.y[number])
        assert (made.o == seen.values[number]).all()
        clipped[0, number] = made.clipped_activation.sum()
    if net.softmax:
        made = add(Func.SHARE, kind, last, seen.y[last])
        share = model.softmax_share(made.o, np.int64(made.sums["total"]), d_frac)
        error, over = at_edge(share - (onehot << d_frac), top)
        assert answer.word == share[label]
        clipped[1, last] = over.sum()
    else:
        at_output = LINEAR if activation == "relu" else kind
        made = add(Func.SQUARED, at_output, last, seen.y[last], label=onehot)
        assert answer.word == made.sums["squares"]
        error = made.o
        clipped[:, last] = made.clipped_activation.sum(), made.clipped_error.sum()
    assert (error == seen.errors[last]).all()
    for number in range(last, 0, -1):
        made = add(Func.BELOW, kind, number, seen.z[number][:-1], pre=pre(number - 1))
        assert (made.o == seen.errors[number - 1]).all()
        clipped[1, number - 1] = made.clipped_error.sum()
    counted = [core.counters.as_dict()[name] for name in ("activation", "error")]
    assert clipped.tolist() == counted
    bench.run()

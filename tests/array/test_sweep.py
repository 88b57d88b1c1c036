"""The sweep: visits and loads in their order, in exactly the predicted number of cycles."""

from itertools import count, pairwise
from typing import NamedTuple

import numpy as np
from amaranth.sim import Simulator
from hypothesis import example, given
from hypothesis import strategies as st

from ohmgrid.config import BuildConfig, Config
from ohmgrid.hdl.array.sweep import Sweep
from ohmgrid.model.array.sweep import SETTLE, Queues, group_hits, memory_order, sweep_cycles

LINES = 40
WORDS = 1 << 9
MAX_SERIAL = 6
PLACE = ("line", "minus", "address", "bank", "first", "last", "start", "bias", "none")


class Case(NamedTuple):
    """A sweep of an array that lies somewhere."""

    build: BuildConfig
    serial: int
    lane_lines: int
    serial_line: int
    lane_line: int
    base: int
    turned: bool
    paired: bool
    job: dict[str, int]
    """Fields of `ohmgrid.hdl.array.bundles.sweep_layout`."""
    listed: list[int]
    """Serial lines in the list, counted from the array's first."""
    bare: bool = False
    """Sums in the lanes need nothing of their lines."""

    @property
    def devices(self) -> int:
        """Visits of a serial line."""
        return 2 if self.paired and not (self.turned and self.job["split"]) else 1

    @property
    def twice(self) -> bool:
        """Lane lines are loaded twice."""
        return self.lane_paired and bool(self.job["update"])

    @property
    def lane_paired(self) -> bool:
        """Lane lines have keys for both devices of pairs."""
        return self.paired and self.turned and not self.job["split"]

    @property
    def swept(self) -> range:
        """Lane lines that are swept, counted from the array's first."""
        if not self.job["block"]:
            return range(self.lane_lines)
        before = self.job["before"]
        return range(before, min(before + self.build.lanes, self.lane_lines))

    @property
    def visited(self) -> list[int]:
        """Serial lines that are visited, counted from the array's first."""
        if self.job["update"]:
            return self.listed
        return (self.listed or [0]) if self.job["chain"] else list(range(self.serial))

    def visits(self) -> list[tuple[int, ...]]:
        """Return what a sweep sends, in order, as values of `PLACE`."""
        lanes, sent = self.build.lanes, []
        stride = 1 + self.paired
        for block, first in enumerate(range(self.swept.start, self.swept.stop, lanes)):
            each = [(line, minus) for line in self.visited for minus in self._minus()]
            for n, (line, minus) in enumerate(each):
                word = (first // lanes * self.serial + line) * stride + minus
                sent.append(
                    (
                        self.serial_line + line,
                        minus,
                        self.base + word,
                        block % self.build.key_banks,
                        n == 0,
                        n == len(each) - 1,
                        block == 0,
                        self.turned and line == self.serial - 1,
                        bool(self.job["chain"]) and not self.listed,
                    )
                )
        return sent

    def _minus(self) -> range:
        """Return which devices of a line are visited."""
        if self.devices == 2:
            return range(2)
        return range(self.job["minus"], self.job["minus"] + 1)

    def loads(self) -> list[tuple[int, ...]]:
        """Return the lane lines that are loaded, in order: lane, line, bank, minus and bias."""
        lanes, banks = self.build.lanes, self.build.key_banks
        minus = range(2) if self.twice else [self.job["minus"]]
        return [
            (n % lanes, self.lane_line + line, n // lanes % banks, each, self._is_bias(line))
            for n, line in enumerate(self.swept)
            if self.visited and not self.bare
            for each in minus
        ]

    def _is_bias(self, line: int) -> bool:
        return not self.turned and line == self.lane_lines - 1


class Seen(NamedTuple):
    """What a sweep did."""

    visits: list[tuple[int, ...]]
    loads: list[tuple[int, ...]]
    lasts: list[int]
    """Cycles in which a block's last visit was sent."""
    total: int
    """Cycles until the last visit is sent and all cells have left their queues."""


def run_sweep(case: Case, hits: np.ndarray | None, pauses: list[int] | None = None) -> Seen:
    """Sweep twice; return what the second sweep did, for which the first left what it may leave.

    With ``pauses``, its list of codes grows while it runs: a line after each of them.
    """
    build, job = case.build, case.job
    settles = build.visit_cycles + SETTLE
    dut = Sweep(Config(build=build), settles)
    demand = [] if hits is None else group_hits(hits, build.lanes, build.share).tolist()
    in_block = case.devices * len(case.visited)
    banks = build.key_banks // (2 if case.lane_paired else 1)
    seen, grows = Seen([], [], [], 0), []

    async def sweep(ctx) -> Seen:
        visits, loads, lasts, busy = [], [], [], 0
        queues = Queues(build, demand, in_block, banks)
        ctx.set(dut.start, 1)
        await ctx.tick()
        ctx.set(dut.start, 0)
        assert ctx.get(dut.lane_paired) == case.lane_paired
        next_block = 1
        for cycle in count(1):
            place, line = dut.visit.payload, dut.load.payload
            sent = None
            if ctx.get(dut.visit.valid):
                sent = len(visits)
                visits.append(tuple(ctx.get(place[field]) for field in PLACE))
                if ctx.get(place.last):
                    lasts.append(cycle)
            if ctx.get(dut.load.valid):
                lane = ctx.get(line.lanes)
                assert lane.bit_count() == 1
                fields = (dut.load_line, line.bank, line.minus, line.bias)
                loads.append((lane.bit_length() - 1, *map(ctx.get, fields)))
            # The sweep says in whose place it wants to load; which block that is, is known.
            next_block += (ctx.get(dut.next_bank) - next_block) % build.key_banks
            if ctx.get(dut.busy):
                busy = cycle
            elif not queues.busy:
                return Seen(visits, loads, lasts, max(busy, queues.end))
            queues.clock(sent, next_block)
            await ctx.tick()
            if hits is not None:
                ctx.set(dut.go, queues.go)
                ctx.set(dut.bank_used, queues.bank_used)
        raise AssertionError

    async def bench(ctx):
        nonlocal seen
        place = {
            "serial": case.serial,
            "lane_lines": case.lane_lines,
            "serial_line": case.serial_line,
            "lane_line": case.lane_line,
            # What a serial line's number is added to; below 0 it wraps, and so does the sum.
            "origin": (case.base - (case.serial_line << case.paired)) % WORDS,
            "turned": case.turned,
            "paired": case.paired,
        }
        for name, value in place.items():
            ctx.set(dut.array[name], value)
        for name, value in job.items():
            ctx.set(dut.job[name], value)
        # Only an update asks the queues.
        ctx.set(dut.go, hits is not None)
        ctx.set(dut.bare, case.bare)
        made = dut.pulses if case.job["update"] else dut.codes
        ctx.set(made.clear, 1)
        ctx.set(made.line, case.job["list"])
        await ctx.tick()
        ctx.set(made.clear, 0)
        for line in case.listed:
            ctx.set(made.put, 1)
            ctx.set(made.line, case.serial_line + line)
            await ctx.tick()
        ctx.set(made.put, 0)
        await ctx.tick().repeat(3)
        for turn in range(2):
            if pauses is not None and turn:
                ctx.set(dut.coding, 1)
                ctx.set(made.clear, 1)
                await ctx.tick()
                ctx.set(made.clear, 0)
                await ctx.tick().repeat(4)
                grows.append(1)
            seen = await sweep(ctx)
            # As long as results take to come back, and longer.
            await ctx.tick().repeat(settles + 2)

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)

    async def grow(ctx):
        while not grows:
            await ctx.tick()
        for line, pause in zip(case.listed, pauses or [], strict=True):
            for _ in range(pause):
                await ctx.tick()
            ctx.set(dut.codes.put, 1)
            ctx.set(dut.codes.line, case.serial_line + line)
            await ctx.tick()
            ctx.set(dut.codes.put, 0)
        ctx.set(dut.coding, 0)

    if pauses is not None:
        simulator.add_testbench(grow, background=True)
    simulator.run()
    return seen


@st.composite
def cases(draw) -> Case:
    """Draw a sweep of any kind."""
    lanes, serial = draw(st.integers(1, 8)), draw(st.integers(1, MAX_SERIAL))
    lane_lines = draw(st.integers(1, LINES - 4))
    build = BuildConfig(
        lanes=lanes,
        share=draw(st.integers(1, 8)),
        queue=draw(st.sampled_from([4, 16])),
        words=WORDS,
        inputs=LINES,
        outputs=LINES,
    )
    turned, paired = draw(st.booleans()), draw(st.booleans())
    kind = draw(st.sampled_from(["tree", "chain", "update", "update"]))
    names = ("tree", "chain", "update", "block", "split", "minus", "offset", "before")
    # Short blocks are those that meet in the queues.
    listed = draw(st.lists(st.integers(0, serial - 1), unique=True, max_size=3))
    job: dict[str, int] = dict.fromkeys(names, 0) | {kind: 1}
    job |= {"listed": len(listed), "list": draw(st.integers(0, LINES - 4))}
    if kind == "update":
        # Devices of pairs that are lines of their own: the minus devices in a sweep of their own.
        job["split"] = int(draw(st.booleans()))
        job["minus"] = int(bool(job["split"]) and turned and paired and draw(st.booleans()))
        paired &= turned or not job["split"]
        if draw(st.booleans()):
            block = draw(st.integers(0, -(-lane_lines // lanes) - 1))
            job |= {"block": 1, "before": block * lanes, "offset": block * serial << paired}
    words = -(-lane_lines // lanes) * serial << paired
    return Case(
        build=build,
        serial=serial,
        lane_lines=lane_lines,
        serial_line=draw(st.integers(0, LINES - serial)),
        lane_line=draw(st.integers(0, LINES - lane_lines)),
        base=draw(st.integers(0, WORDS - words)),
        turned=turned,
        paired=paired,
        job=job,
        listed=listed,
        bare=kind == "chain" and draw(st.booleans()),
    )


def pairs_along_lanes(lanes: int, lane_lines: int) -> Case:
    """Return an update that waits for banks: both devices of one serial line, in many blocks."""
    build = BuildConfig(lanes=lanes, share=4, queue=16, words=WORDS, inputs=LINES, outputs=LINES)
    names = ("tree", "chain", "block", "split", "minus", "offset", "before")
    job: dict[str, int] = dict.fromkeys(names, 0) | {"update": 1, "listed": 1, "list": 2}
    return Case(build, 1, lane_lines, 3, 4, 5, turned=True, paired=True, job=job, listed=[0])


# For keys on their way, for keys of visits in a queue, and for blocks as short as can be.
@example(pairs_along_lanes(3, 12), 0.0, 1)
@example(pairs_along_lanes(4, 36), 1.0, 1)
@example(pairs_along_lanes(4, 36)._replace(turned=False), 1.0, 1)
@example(pairs_along_lanes(1, 12)._replace(paired=False), 0.0, 1)
@given(cases(), st.sampled_from([0.0, 0.3, 1.0]), st.integers(0, 2**32 - 1))
def test_sweep_visits_loads_and_cycles(case: Case, density: float, seed: int):
    print(f"seed={seed}")
    visits = case.devices * len(case.visited)
    hits = None
    if case.job["update"]:
        shape = visits, len(case.swept)
        hits = np.random.default_rng(seed).random(shape) < density
    seen = run_sweep(case, hits)
    assert seen.visits == case.visits()
    assert seen.loads == case.loads()
    chain = bool(case.job["chain"])
    cycles = sweep_cycles(
        len(case.listed) if chain else len(case.visited),
        len(case.swept),
        case.build,
        devices=case.devices,
        turned=case.turned,
        chain=chain,
        bare=case.bare,
        hits=hits,
    )
    assert (seen.total, seen.lasts[-1] if seen.lasts else 0) == cycles
    if chain:
        # A block's sums leave one a cycle.
        assert all(later - last >= case.build.lanes for last, later in pairwise(seen.lasts))


@given(cases(), st.data())
def test_visits_follow_a_list_that_grows(case: Case, data):
    """Whenever its lines come, they are visited as if they had been there."""
    job = case.job | {"update": 0, "tree": 0, "chain": 1, "block": 0, "split": 0, "minus": 0}
    case = case._replace(job=job)
    few = st.integers(0, 12)
    pauses = data.draw(st.lists(few, min_size=len(case.listed), max_size=len(case.listed)))
    seen = run_sweep(case, None, pauses)
    assert seen.visits == case.visits()
    assert seen.loads == case.loads()
    assert all(later - last >= case.build.lanes for last, later in pairwise(seen.lasts))


SHAPES = st.tuples(st.integers(1, 6), st.integers(1, 9), st.integers(1, 20))


@given(SHAPES, st.booleans(), st.integers(1, 2))
@example((2, 3, 5), True, 2)
def test_memory_order_is_that_of_the_visits(shape, turned, devices):
    """Of a turned array, rows lie along the lanes; the devices of pairs are rows of their own."""
    lanes, serial, lane_lines = shape
    cells = [
        (line, lane_line, minus)
        for start in range(0, lane_lines, lanes)
        for line in range(serial)
        for minus in range(devices)
        for lane_line in range(start, min(start + lanes, lane_lines))
    ]
    expected = [
        (devices * lane_line + minus, line) if turned else (devices * line + minus, lane_line)
        for line, lane_line, minus in cells
    ]
    rows, cols = (lane_lines, serial) if turned else (serial, lane_lines)
    order = memory_order(rows * devices, cols, lanes, turned, devices)
    assert list(zip(*map(np.ndarray.tolist, order), strict=True)) == expected


@given(SHAPES, st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_hits_are_counted_by_group(shape, share, seed):
    lanes, visits, lane_lines = shape
    hits = np.random.default_rng(seed).random((visits, lane_lines)) < 0.4
    counts = group_hits(hits, lanes, share).reshape(-1, visits, -(-lanes // share))
    for block, visit, group in np.ndindex(counts.shape):
        first = block * lanes
        of_block = hits[visit, first : min(first + lanes, lane_lines)]
        assert counts[block, visit, group] == of_block[group * share : (group + 1) * share].sum()

"""Access to cells: which cells are read, written and visited, and in which order."""

from typing import NamedTuple

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from strategies import FEW

from ohmgrid.config import BuildConfig, Config
from ohmgrid.hdl.array.cells import SHIFT, CellAccess
from ohmgrid.sim.tables import run_clocked

WORDS, LINES = 1 << 8, 32
STAGES = 6
Cell = tuple[int, int, int, int, int]
"""Lane, address, lane line, serial line, minus: as of `place_of_cell`."""
PLACE = ("lane", "address", "lane_line", "line", "minus")


class Case(NamedTuple):
    """An array, and the part of it that is visited."""

    lanes: int
    serial: int
    lane_lines: int
    serial_line: int
    base: int
    paired: bool
    turned: bool
    region: dict[str, int]
    turn: int

    def cells(self) -> list[Cell]:
        """Return the cells of the region in their order."""
        region, devices, lanes = self.region, 1 + self.paired, self.lanes
        found = []
        for first in range(0, self.lane_lines, lanes):
            if region["block"] and first != region["before"]:
                continue
            lines = [region["line"]] if region["column"] else range(self.serial)
            along = range(first, min(first + lanes, self.lane_lines))
            if region["by_line"] and region["block"]:
                along = [first + region["lane"]]
            words = [(line, minus) for line in lines for minus in range(devices)]
            pairs = [(word, lane_line) for word in words for lane_line in along]
            if region["by_line"]:
                pairs = [(word, lane_line) for lane_line in along for word in words]
            for (line, minus), lane_line in pairs:
                word = (first // lanes * self.serial + line) * devices + minus
                found.append((lane_line % lanes, self.base + word, lane_line, line, minus))
        return found


@st.composite
def cases(draw) -> Case:
    """Draw an array and one of the regions that are asked for."""
    lanes, serial = draw(st.integers(1, 5)), draw(st.integers(1, 6))
    lane_lines, paired = draw(st.integers(1, 12)), draw(st.booleans())
    blocks = -(-lane_lines // lanes)
    block = draw(st.integers(0, blocks - 1))
    names = ("block", "offset", "before", "column", "line", "by_line", "lane", "waits")
    region: dict[str, int] = dict.fromkeys(names, 0)
    match draw(st.sampled_from(["whole", "block", "lane", "column", "column by line"])):
        case "whole":
            region["waits"] = draw(st.integers(0, 1))
        case "block" | "lane" as kind:
            lines = min(lanes, lane_lines - block * lanes)
            region |= {"block": 1, "before": block * lanes, "offset": block * serial << paired}
            if kind == "lane":
                region |= {"by_line": 1, "lane": draw(st.integers(0, lines - 1))}
        case "column":
            region |= {"column": 1, "line": draw(st.integers(0, serial - 1))}
        case _:
            region |= {"column": 1, "line": draw(st.integers(0, serial - 1)), "by_line": 1}
    return Case(
        lanes=lanes,
        serial=serial,
        lane_lines=lane_lines,
        serial_line=draw(st.integers(0, LINES - serial)),
        base=draw(st.integers(0, WORDS - (blocks * serial << paired))),
        paired=paired,
        turned=draw(st.booleans()),
        region=region,
        turn=draw(st.sampled_from([1, 3, 17])),
    )


class Lanes:
    """A `CellAccess` in simulation with lanes and a chain around it."""

    def __init__(self, ctx, dut: CellAccess, case: Case, words: np.ndarray):
        self.ctx, self.dut, self.case, self.words = ctx, dut, case, words
        # Cycles until strobes reach the chain, and the chain itself.
        self._fetches: list[int | None] = [None] * (STAGES - 1)
        self._shifts = [0] * (SHIFT - 1)
        self._chain = [0] * case.lanes

    async def tick(self) -> None:
        """One clock cycle: the chain takes the words of all lanes, or moves on by one."""
        ctx, dut = self.ctx, self.dut
        self._fetches.append(ctx.get(dut.at.address) if ctx.get(dut.fetch) else None)
        self._shifts.append(ctx.get(dut.shift))
        await ctx.tick()
        moves, fetched = self._shifts.pop(0), self._fetches.pop(0)
        if fetched is not None:
            self._chain = self.words[:, fetched].tolist()
        elif moves:
            self._chain = [*self._chain[1:], 0]
        ctx.set(dut.word, self._chain[0])

    def at(self, place) -> Cell:
        """Return where a cell is."""
        lane, address, lane_line, line, minus = (self.ctx.get(place[name]) for name in PLACE)
        return lane, address, lane_line, line, minus


def array_of(case: Case) -> dict[str, int]:
    """Return what the hardware is told of the array."""
    return {
        "serial": case.serial,
        "lane_lines": case.lane_lines,
        "serial_line": case.serial_line,
        "origin": (case.base - (case.serial_line << case.paired)) % WORDS,
        "turned": case.turned,
        "paired": case.paired,
    }


def access(case: Case) -> CellAccess:
    """Return the access of a build for the case."""
    build = BuildConfig(lanes=case.lanes, words=WORDS, inputs=LINES, outputs=LINES)
    return CellAccess(Config(build=build), STAGES, case.turn)


@FEW
@given(cases(), st.integers(0, 2**32 - 1))
def test_visits_meet_each_cell_of_a_region_once(case: Case, seed: int):
    """They come back in the same order; but in visits by line, with the word of each cell."""
    dut = access(case)
    words = np.random.default_rng(seed).integers(-1000, 1000, (case.lanes, WORDS))
    visited: list[Cell] = []
    returned: list[Cell] = []
    seen: list[int] = []
    sent: list[int] = []
    back: list[int] = []

    async def bench(ctx):
        lanes = Lanes(ctx, dut, case, words)
        ctx.set(dut.array, array_of(case))
        ctx.set(dut.region, case.region)
        await ctx.tick().repeat(3)
        for _ in range(2):
            for found in (visited, returned, seen, sent, back):
                found.clear()
            ctx.set(dut.start_visit, 1)
            word_comes = False
            for cycle in range(3000):
                # A visited cell's word is the chain's head in the cycle after.
                if word_comes:
                    seen.append(ctx.get(dut.word))
                word_comes = bool(ctx.get(dut.visiting))
                if word_comes:
                    visited.append(lanes.at(dut.at))
                    sent.append(cycle)
                if ctx.get(dut.returning):
                    returned.append(lanes.at(dut.back))
                    back.append(cycle)
                assert not ctx.get(dut.write)
                assert not ctx.get(dut.o.valid)
                if not ctx.get(dut.busy):
                    break
                assert not cycle or ctx.get(dut.active)
                await lanes.tick()
                ctx.set(dut.start_visit, 0)
            else:
                raise AssertionError("a visit does not end")
            await ctx.tick().repeat(2)

    run_clocked(dut, bench)
    expected = case.cells()
    assert visited == expected
    assert returned == expected
    assert [cycle + case.turn for cycle in sent] == back
    if not case.region["by_line"]:
        assert seen == [words[lane, address] for lane, address, *_ in expected]
    if case.region["waits"]:
        # What comes back is written before the next words are fetched.
        rows = [address for _, address, *_ in expected]
        later = [n for n in range(1, len(rows)) if rows[n] != rows[n - 1]]
        assert all(sent[n] - back[n - 1] >= STAGES for n in later)


@FEW
@given(cases(), st.integers(0, 2**32 - 1))
def test_reads_and_writes_go_through_the_whole_array(case: Case, seed: int):
    """In memory order, whatever the streams' pauses."""
    case = case._replace(region=dict.fromkeys(case.region, 0))
    dut = access(case)
    rng = np.random.default_rng(seed)
    words = rng.integers(-1000, 1000, (case.lanes, WORDS))
    expected = case.cells()
    new = rng.integers(-1000, 1000, len(expected)).tolist()
    found: list[int] = []
    written: list[Cell] = []

    async def bench(ctx):
        lanes = Lanes(ctx, dut, case, words)
        ctx.set(dut.array, array_of(case))
        await ctx.tick().repeat(3)
        for start in (dut.start_write, dut.start_read):
            ctx.set(start, 1)
            for _ in range(5000):
                if not ctx.get(dut.busy):
                    break
                valid, ready = rng.integers(0, 2, 2).tolist()
                valid &= len(written) < len(new)
                ctx.set(dut.i.valid, valid)
                ctx.set(dut.i.payload, new[len(written)] if valid else 0)
                ctx.set(dut.o.ready, ready)
                if ctx.get(dut.write):
                    assert valid
                    assert ctx.get(dut.i.ready)
                    place = lanes.at(dut.at)
                    words[place[0], place[1]] = new[len(written)]
                    written.append(place)
                if ready and ctx.get(dut.o.valid):
                    found.append(ctx.get(dut.o.payload))
                await lanes.tick()
                ctx.set(start, 0)
            else:
                raise AssertionError("an access does not end")

    run_clocked(dut, bench)
    assert written == expected
    assert found == new

"""The array table: entries written, loaded, changed and put away, in any order."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ohmgrid.config import BuildConfig, Config
from ohmgrid.hdl.core.array_table import CHANGE, ArrayTable, planned_layout
from ohmgrid.registers.arrays import ENTRIES, STEPS, entry_fields, entry_words
from ohmgrid.sim.tables import run_clocked


class Table:
    """A table in simulation, and what its entries should be.

    Fields of an entry that was never written are not known; here all are written first.
    """

    def __init__(self, ctx, dut: ArrayTable, rng: np.random.Generator, build: BuildConfig):
        self._ctx, self._dut, self._rng = ctx, dut, rng
        self._physics, self._timed = build.read_physics, build.time
        self._fields = entry_fields(build.read_physics)
        self.entries: dict[int, dict[str, int]] = {}
        self.loaded: int | None = None

    def drawn(self, names) -> dict[str, int]:
        """Return any values of fields."""
        return {n: int.from_bytes(self._rng.bytes(8)) % (1 << self._fields[n]) for n in names}

    async def _until_done(self, strobe) -> int:
        """Strobe; return the cycles that the table is busy."""
        ctx, dut = self._ctx, self._dut
        ctx.set(strobe, 1)
        cycles = 0
        while ctx.get(dut.busy):
            await ctx.tick()
            ctx.set(strobe, 0)
            cycles += 1
            assert cycles < 100
        await ctx.tick()
        return cycles

    async def write(self, number: int, words) -> None:
        """Write some words of an entry, of new values; none is at work then."""
        ctx, dut = self._ctx, self._dut
        values = self.drawn(self._fields)
        new = entry_words(values, self._physics)
        old = entry_words(self.entries.get(number, values), self._physics)
        for word in words:
            ctx.set(dut.number, number)
            ctx.set(dut.word, word)
            ctx.set(dut.data, new[word])
            await self._until_done(dut.write)
            old[word] = new[word]
        self.loaded = None
        self.entries[number] = self.unpacked(old)

    def unpacked(self, words: list[int]) -> dict[str, int]:
        """Return the fields of words: the other way than `entry_words`."""
        bits = "".join(format(word, "056b")[::-1] for word in words)
        values, place = {}, 0
        for name, width in self._fields.items():
            values[name] = int(bits[place : place + width][::-1], 2)
            place += width
        return values

    async def load(self, number: int) -> None:
        """Load an entry; check it, and how long it took."""
        ctx, dut = self._ctx, self._dut
        ctx.set(dut.number, number)
        cycles = await self._until_done(dut.load)
        assert cycles == (1 if number == self.loaded else dut.cycles)
        self.loaded = number
        self.check()

    def check(self) -> None:
        """Check the entry at work."""
        assert self.loaded is not None
        expected = self.entries[self.loaded]
        found = {name: self._ctx.get(self._dut.entry[name]) for name in expected}
        assert found == expected

    async def fetch(self, number: int, loads: list[int]) -> None:
        """Fetch what an update is planned from, while other entries are loaded; check it."""
        ctx, dut, seen = self._ctx, self._dut, 0

        async def tick() -> None:
            nonlocal seen
            seen += ctx.get(dut.fetched)
            await ctx.tick()

        ctx.set(dut.beside, number)
        ctx.set(dut.fetch, 1)
        await tick()
        ctx.set(dut.fetch, 0)
        for load in loads:
            ctx.set(dut.number, load)
            ctx.set(dut.load, 1)
            for _ in range(int(self._rng.integers(1, 40))):
                await tick()
                ctx.set(dut.load, 0)
            while ctx.get(dut.busy):
                await tick()
            self.loaded = load
            await tick()
        for _ in range(30):
            await tick()
        assert seen == 1
        found = {name: ctx.get(dut.planned[name]) for name in planned_layout().members}
        assert found == {name: self.entries[number][name] for name in found}

    async def miss(self, number: int) -> None:
        """Load what there is no entry for: it is wrong, and none is at work then."""
        self._ctx.set(self._dut.number, number)
        await self._until_done(self._dut.load)
        await self._ctx.tick()
        assert self._ctx.get(self._dut.wrong)
        self.loaded = None

    async def change(self) -> None:
        """Change the state of the entry at work."""
        assert self.loaded is not None
        dut, entry = self._dut, self.entries[self.loaded]
        strobes = {name: int(self._rng.integers(2)) for name in CHANGE.members}
        came = self.drawn(("time_left", "refresh_left", "static_key"))
        self._ctx.set(dut.change, strobes)
        for name, value in came.items():
            self._ctx.set(getattr(dut, name), value)
        await self._ctx.tick()
        self._ctx.set(dut.change, {})
        for name in STEPS:
            entry[name] = (entry[name] + strobes[name]) % (1 << self._fields[name])
        # Countdowns change in builds that count them.
        changed = ["static_key"] * strobes["static_key"]
        if self._timed and strobes["left"]:
            changed += ["time_left", "refresh_left"]
        self.entries[self.loaded] |= {name: came[name] for name in changed}
        self.check()


@pytest.mark.parametrize(
    ("read_physics", "time", "arrays"), [(False, False, 5), (True, True, ENTRIES)]
)
@settings(max_examples=5)
@given(seed=st.integers(0, 2**32 - 1))
def test_entries_keep_what_was_written_and_changed(read_physics, time, arrays, seed):
    print(f"seed={seed}")
    rng = np.random.default_rng(seed)
    build = BuildConfig(
        **{"lanes": 2, "inputs": 8, "outputs": 8, "words": 64, "arrays": arrays},
        read_physics=read_physics,
        time=time,
    )
    dut = ArrayTable(Config(build=build))
    words = range(len(entry_words({}, read_physics)))
    numbers = rng.choice(arrays, 4, replace=False).tolist()

    async def bench(ctx):
        table = Table(ctx, dut, rng, build)
        for number in numbers:
            await table.write(number, words)
        for _ in range(60):
            act = rng.integers(10)
            if act == 0:
                await table.write(int(rng.choice(numbers)), rng.permutation(words)[:2].tolist())
            elif act < 5 and table.loaded is not None:
                await table.change()
            elif act < 7:
                loads = rng.choice(numbers, rng.integers(3)).tolist()
                await table.fetch(int(rng.choice(numbers)), loads)
            elif act == 7 and arrays < ENTRIES:
                await table.miss(int(rng.integers(arrays, ENTRIES)))
            else:
                await table.load(int(rng.choice(numbers)))
        for number in numbers:
            await table.load(number)

    run_clocked(dut, bench)

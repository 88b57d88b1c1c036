"""One-sided pairs: every pulse raises one device, and a refresh makes room again."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import FEW

from ohmgrid.config import BuildConfig, Config
from ohmgrid.devices.cells import OneSided
from ohmgrid.devices.presets import PRESETS
from ohmgrid.devices.steps import ConstantStep, ExpStep
from ohmgrid.hdl.array.due_pairs import DuePairs
from ohmgrid.model.core.refresh import refresh_reads
from ohmgrid.model.core.tile import Tile
from ohmgrid.registers.time import refresh_registers
from ohmgrid.sim.tables import run_clocked
from ohmgrid.tile import TileState

ROWS, COLS = 24, 30

PLAIN = ConstantStep(dw_min=0.01, w_max=2.0, w_min=0.0, w_max_dtod=0.0, reset=0.0, reset_std=0.0)


def pair(plus: float, minus: float, **given: Any) -> Tile:
    """Return a tile of pairs whose devices all have the given weights."""
    tile = Tile(Config(device=OneSided(PLAIN, **given)), ROWS, COLS)
    weights = np.zeros((2 * ROWS, COLS), np.int32)
    weights[0::2], weights[1::2] = round(plus / tile.lsb), round(minus / tile.lsb)
    tile.load(TileState(weights, (0, 0, 0)))
    return tile


def nothing(tile: Tile) -> None:
    tile.update(np.zeros(COLS, np.int64), np.zeros(ROWS, np.int64), 0.1)


def test_every_pulse_raises_one_device(rng: np.random.Generator):
    tile = Tile(Config(device=PRESETS["pcm"], seed=3), ROWS, COLS)
    x = rng.integers(-4096, 4097, COLS)
    d = rng.integers(-16384, 16385, ROWS)
    for _ in range(5):
        before = tile.weights.copy()
        tile.update(x, d, 0.05)
        moved = tile.weights != before
        down = (x < 0)[None, :] == (d < 0)[:, None]
        assert not moved[0::2][down].any()
        assert not moved[1::2][~down].any()
        assert moved.any()


def test_the_weight_is_the_difference():
    tile = pair(0.75, 0.5)
    assert tile.read().shape == (ROWS, COLS)
    assert tile.read() * tile.lsb == pytest.approx(0.25)
    z = tile.backward(np.full(ROWS, 16384)) * tile.z_lsb
    assert z == pytest.approx(0.25 * ROWS, abs=0.5)


def test_reads_follow_noise_and_thresholds():
    tile = pair(1.6, 0.6, refresh_out_noise=0.05)
    registers = refresh_registers(tile.config, tile.lsb)
    due, difference = refresh_reads(tile.weights, registers, 5)
    # 1.6 is above 1.5 by two sigma of the read, 0.6 above 0.5 by two.
    assert 0.9 < due.mean() < 1.0
    code = 12.0 / 255
    noise = np.hypot(0.05, code / np.sqrt(12)) * np.sqrt(2)
    assert difference.mean() * code == pytest.approx(1.0, abs=4.5 * noise / np.sqrt(due.size))
    assert difference.std() * code == pytest.approx(noise, rel=0.1)


@pytest.mark.parametrize(
    ("plus", "minus", "fresh"),
    [(1.7, 0.7, True), (0.7, 1.7, True), (1.7, 0.3, False), (1.2, 1.2, False)],
)
def test_a_refresh_resets_both_and_keeps_the_difference(plus: float, minus: float, fresh: bool):
    tile = pair(plus, minus, refresh_every=2, refresh_out_noise=0.0)
    before = tile.weights.copy()
    nothing(tile)
    assert np.array_equal(tile.weights, before)
    nothing(tile)
    if not fresh:
        assert np.array_equal(tile.weights, before)
        return
    weights = tile.weights * tile.lsb
    small = weights[1::2] if plus > minus else weights[0::2]
    assert np.abs(small).max() < 2 * tile.lsb
    # 31 pulses of 0.01 at most write the difference of 1.0 back, open loop.
    written = np.abs(tile.read() * tile.lsb)
    assert written.mean() == pytest.approx(0.31, rel=0.05)


def test_a_large_difference_takes_a_long_train():
    """The difference of 1.0 asks for 100 pulses of 0.01, in four chunks."""
    tile = pair(1.7, 0.7, refresh_every=1, refresh_out_noise=0.0, refresh_bl=127)
    nothing(tile)
    assert (tile.read() * tile.lsb).mean() == pytest.approx(1.0, rel=0.05)


def test_a_small_difference_is_written_back_whole():
    device = ConstantStep(
        dw_min=0.05, dw_min_std=0.1, dw_min_dtod=0.1, w_max=2.0, w_min=0.0, w_max_dtod=0.0,
        reset_std=0.0,
    )  # fmt: skip
    tile = Tile(Config(device=OneSided(device, refresh_every=1, refresh_out_noise=0.0)), ROWS, COLS)
    weights = np.zeros((2 * ROWS, COLS), np.int32)
    weights[0::2], weights[1::2] = round(1.8 / tile.lsb), round(1.0 / tile.lsb)
    tile.load(TileState(weights, (0, 0, 0)))
    nothing(tile)
    written = tile.read() * tile.lsb
    # 0.8 is 17 codes of 12/255: 0.8 exactly, written by 16 pulses on average.
    assert written.mean() == pytest.approx(0.8, rel=0.03)
    assert 0.03 < written.std() < 0.15


def test_the_preset_refreshes_pcm_as_it_saturates():
    tile = Tile(Config(device=PRESETS["pcm"], seed=2), 16, 16)
    x, d = np.full(16, 4096), np.full(16, 16384)
    tops = []
    for step in range(160):
        tile.update(x, d if step % 2 else -d, 0.01)
        tops.append(tile.weights.max(axis=0).mean() * tile.lsb)
    both = np.minimum(tile.weights[0::2], tile.weights[1::2]) * tile.lsb
    large = np.maximum(tile.weights[0::2], tile.weights[1::2]) * tile.lsb
    # Without refreshes both devices of every cell would be far beyond the thresholds by now.
    assert ((large > 1.9) & (both > 0.9)).mean() < 0.02
    assert isinstance(tile.config.device.unit, ExpStep)


@FEW
@given(
    seed=st.integers(0, 2**32 - 1),
    lanes=st.integers(1, 5),
    pairs=st.integers(1, 6),
    blocks=st.integers(1, 2),
    turned=st.booleans(),
)
def test_the_gateware_finds_the_pairs_that_are_due(
    seed: int, lanes: int, pairs: int, blocks: int, turned: bool
):
    """A block of lanes holds some columns of pairs; turned, the pairs of one column."""
    print(f"seed={seed}")
    rng = np.random.default_rng(seed)
    turn, upper, lower = 5, int(rng.integers(0, 40)), int(rng.integers(0, 30))
    unit = DuePairs(BuildConfig(lanes=lanes, outputs=2 * pairs), turn)
    columns = 1 if turned else lanes
    codes = rng.integers(-60, 60, (blocks, pairs, 2, columns))

    async def read(ctx, block: np.ndarray) -> None:
        """Bring the codes in memory order: rows of lanes, plus devices before minus devices."""
        order = [
            (pair, minus, pair % lanes, 0)
            for first in range(0, pairs, lanes)
            for minus in range(2)
            for pair in range(first, min(first + lanes, pairs))
        ]
        if not turned:
            order = [(p, minus, c, c) for p, minus, c in np.ndindex(pairs, 2, columns)]
        for pair, minus, lane, column in order:
            values = {"pair": pair, "minus": minus, "lane": lane, "column": column}
            for name, value in (values | {"code": int(block[pair, minus, column])}).items():
                ctx.set(getattr(unit, name), value)
            ctx.set(unit.valid, 1)
            await ctx.tick()
            ctx.set(unit.valid, 0)
            while rng.random() < 0.3:
                await ctx.tick()
        await ctx.tick()

    async def visit(ctx) -> tuple[list[int], list[int]]:
        values, keeps = [], []
        for cycle in range(2 * pairs + turn + 1):
            pair, minus = divmod(min(cycle, 2 * pairs - 1), 2)
            ctx.set(unit.visiting, cycle < 2 * pairs)
            ctx.set(unit.visit_pair, pair)
            ctx.set(unit.visit_minus, minus)
            assert ctx.get(unit.take) == (1 <= cycle <= 2 * pairs)
            if ctx.get(unit.take):
                values.append(ctx.get(unit.value))
            if turn <= cycle < turn + 2 * pairs:
                keeps.append(ctx.get(unit.keep))
            await ctx.tick()
        return values, keeps

    async def testbench(ctx):
        ctx.set(unit.upper, upper)
        ctx.set(unit.lower, lower)
        for block in codes:
            ctx.set(unit.clear, 1)
            await ctx.tick()
            ctx.set(unit.clear, 0)
            await read(ctx, block)
            plus, minus = block[:, 0], block[:, 1]
            due = (np.maximum(plus, minus) > upper) & (np.minimum(plus, minus) > lower)
            difference = np.where(due, plus - minus, 0)
            assert ctx.get(unit.any) == due.any()
            for column in range(columns):
                ctx.set(unit.look, column)
                await ctx.tick()
                if not turned:
                    assert ctx.get(unit.column_due) == due[:, column].any()
                values, keeps = await visit(ctx)
                raised = np.stack([np.maximum(difference, 0), np.maximum(-difference, 0)], axis=1)
                assert values == (-raised[:, :, column].ravel()).tolist()
                assert keeps == np.repeat(due[:, column], 2).tolist()

    run_clocked(unit, testbench)

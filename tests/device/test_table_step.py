"""Steps drawn from tables: what they are drawn from, how often, and alike on every engine."""

import json
import tomllib
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from tile_cases import BUILDS, random_weights

from ohmgrid.cli import cli
from ohmgrid.config import Config
from ohmgrid.devices.cells import OneSided
from ohmgrid.devices.laws import DRAWS, ROOMS
from ohmgrid.devices.table_step import TableStep, equal_parts
from ohmgrid.doors.checks import ConfigError
from ohmgrid.engines import ENGINES, make_core
from ohmgrid.model.device.step import Cells, Static, visit
from ohmgrid.net import Net
from ohmgrid.registers.device import device_registers
from ohmgrid.tile import TileState
from ohmgrid.training.settings import (
    config_to_toml,
    device_from_dict,
    device_to_toml,
    parse_settings,
)

SAME: dict[str, Any] = {
    "dw_min_dtod": 0.0, "up_down_dtod": 0.0, "w_max": 1.0, "w_max_dtod": 0.0,
    "w_min": -1.0, "w_min_dtod": 0.0,
}  # fmt: skip
"""All cells are alike."""
BITS, SEGMENTS = 18, 128


def random_table(rng: np.random.Generator) -> tuple[tuple[float, ...], ...]:
    return tuple(
        tuple(rng.uniform(-1.0, 3.0, int(rng.integers(1, DRAWS + 1))).tolist())
        for _ in range(int(rng.integers(1, ROOMS + 1)))
    )


def random_device(rng: np.random.Generator) -> TableStep:
    return TableStep(
        dw_min=float(rng.uniform(0.001, 0.1)),
        up_down=float(rng.uniform(-0.5, 0.5)),
        table_up=random_table(rng),
        table_down=random_table(rng),
        write_noise_std=float(rng.choice([0.0, 5.0])),
    )


@given(st.lists(st.integers(-1000, 1000), min_size=1, max_size=DRAWS))
def test_equal_parts_are_the_means_of_equal_shares_of_the_distribution(values):
    parts = equal_parts([float(value) for value in values])
    assert len(parts) == DRAWS
    # As many copies of each value as make shares of whole numbers.
    copies = np.repeat(np.sort(values), DRAWS).reshape(DRAWS, len(values))
    np.testing.assert_allclose(parts, copies.mean(axis=1), rtol=1e-15, atol=0)


@pytest.mark.parametrize("down", [False, True], ids=["up", "down"])
def test_each_step_of_the_rooms_beside_a_weight_comes_as_often_as_it_should(down: bool, rng):
    tables = tuple(
        tuple(tuple(rng.uniform(0.5, 1.5, DRAWS).tolist()) for _ in range(ROOMS)) for _ in range(2)
    )
    device = TableStep(dw_min=0.02, table_up=tables[0], table_down=tables[1], **SAME)
    regs = device_registers(device, BITS, SEGMENTS)
    assert regs.serial
    top = regs.b_max
    weight = int(rng.integers(8192 - top, top - 8192))
    # Bits 0..5 and 26..31, all combinations; no rounding.
    word = np.arange(1 << 12, dtype=np.uint32)
    word = (word & np.uint32(63)) | (word >> np.uint32(6)) << np.uint32(26)
    one, none = np.full(len(word), 1 << 10), np.zeros(len(word), np.int64)
    static = Static(one, one, none + top, none - top, one, one, none > 0, none)
    cells = Cells(none + weight, none + 1, np.full(len(word), down))
    moved = visit(cells, static, word, regs, BITS) - weight
    found = np.sort((-moved if down else moved) * regs.lsb / device.dw_min)
    row, part = divmod((weight + top) / (2 * top) * (ROOMS - 1), 1)
    lower, upper = np.array(tables[int(down)])[int(row) : int(row) + 2]
    errors = []
    # A place is cut to 15 bits, so that one of the 64 may be on either side of a half.
    for often in {round(64 * part - 0.05), round(64 * part + 0.05)}:
        steps = np.concatenate([np.repeat(lower, 64 - often), np.repeat(upper, often)])
        errors.append(np.abs(found - np.sort(steps)).max())
    # A step is cut to a weight LSB; tables and dw have a rounding of their own.
    assert min(errors) <= 1.05 * regs.lsb / device.dw_min + 2.0**-regs.curve_frac


def test_steps_are_scaled_by_the_cell_and_may_lead_backwards():
    device = TableStep(dw_min=0.01, table_up=((-1.0,),), table_down=((2.0,),), **SAME)
    regs = device_registers(device, BITS, SEGMENTS)
    zero = np.zeros(2, np.int64)
    top, one = zero + regs.b_max, zero + (1 << 10)
    static = Static(one * 3, one * 3, top, -top, one, one, zero > 0, zero)
    cells = Cells(zero, zero + 1, np.array([False, True]))
    half = np.full(2, 1 << 21, np.uint32)
    moved = visit(cells, static, half, regs, BITS) * regs.lsb
    assert moved == pytest.approx([-0.03, -0.06], abs=regs.lsb)


def test_the_granularity_is_the_mean_step_in_the_middle():
    device = TableStep(
        dw_min=0.01, table_up=((3.0,), (0.0, 2.0), (0.0,)), table_down=((0.0,), (4.0,))
    )
    assert device.granularity == pytest.approx(0.01 * (1.0 + 2.0) / 2)
    assert TableStep(dw_min=0.01, table_up=((-1.0,),), table_down=((0.5,),)).granularity == 0.01


@settings(max_examples=8)
@given(seed=st.integers(0, 2**32 - 1), paired=st.sampled_from([False, False, True]))
def test_all_engines_end_in_the_same_bits(seed, paired):
    rng = np.random.default_rng(seed)
    unit = random_device(rng)
    device = OneSided(replace(unit, write_noise_std=0.0), refresh_every=3) if paired else unit
    config = Config(seed=int(rng.integers(2**63)), build=BUILDS[4], device=device)
    cores = [make_core(engine, config, Net((8, 5))) for engine in ENGINES]
    tiles = [core.tiles[0] for core in cores]
    try:
        start = TileState(random_weights(rng, tiles[0]), (0, 0, 0))
        for tile in tiles:
            tile.load(start)
        for _ in range(4):
            x, d = rng.integers(-4096, 4097, 9), rng.integers(-16384, 16385, 5)
            lr = 5 * unit.granularity
            found = [[*tile.forward(x), *tile.backward_update(x, d, lr)] for tile in tiles]
            assert found[1:] == found[:-1]
        for tile in tiles[1:]:
            assert_array_equal(tile.state().weights, tiles[0].state().weights)
        assert (tiles[0].state().weights != start.weights).any()
    finally:
        for core in cores:
            core.close()


@given(seed=st.integers(0, 2**32 - 1))
def test_tables_survive_files(seed):
    device = random_device(np.random.default_rng(seed))
    assert device_from_dict(tomllib.loads(device_to_toml(device))["device"]) == device
    assert parse_settings(config_to_toml(Config(device=device))).config().device == device


@pytest.mark.slow
def test_a_table_device_is_compared_trained_stopped_and_resumed(tmp_path, rng, blobs):
    path, config = tmp_path / "drawn.toml", tmp_path / "config.toml"
    path.write_text(device_to_toml(TableStep(
        dw_min=0.01, table_up=((0.0, 2.0), (0.0, 1.0, 0.5)), table_down=((1.0, -0.5), (0.9, 2.0)),
    )))  # fmt: skip
    # A build that other tests have compiled.
    config.write_text(config_to_toml(Config(build=BUILDS[4])))

    def run(*words: object) -> dict:
        result = CliRunner().invoke(cli, [*map(str, words), "--json"])
        assert result.exit_code == 0, (result.stderr, result.exception)
        return json.loads(result.stdout)

    which = ("--config", config, "--device", path, "--seed", int(rng.integers(1 << 32)))
    which = (*which, "--data", blobs, "--pool", 2, "--layers", "4-5-3")
    assert run("compare", *which, "--steps", 20, "--engines", "model,compiled,rtl")["equal"]
    whole = run("train", *which, "--out", tmp_path / "whole", "--epochs", 2)
    run("train", *which, "--out", tmp_path / "parts", "--epochs", 1)
    resumed = run("train", "--resume", "--out", tmp_path / "parts", "--epochs", 2)
    assert resumed["state_sha256"] == whole["state_sha256"]
    repeated = run("train", "--config", tmp_path / "whole" / "config.toml", "--out", tmp_path / "r")
    assert repeated["state_sha256"] == whole["state_sha256"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"table_up": ()}, r"table_up: expected 1 to 16 rows of steps, got \(\)"),
        ({"table_up": 1.0}, r"table_up: expected 1 to 16 rows of steps, got 1\.0"),
        ({"table_down": ((1.0,),) * 17}, r"table_down: expected 1 to 16 rows"),
        ({"table_down": ((1.0,), ())}, r"table_down\[1\]: expected 1 to 64 steps, got \(\)"),
        ({"table_down": (1.0,)}, r"table_down\[0\]: expected 1 to 64 steps, got 1\.0"),
        ({"table_up": ((0.0,) * 65,)}, r"table_up\[0\]: expected 1 to 64 steps"),
        ({"table_up": ((1.0, 101.0),)}, r"table_up\[0\]: expected -100\.\.100, got 101"),
        ({"table_up": ((float("nan"),),)}, r"table_up\[0\]: expected a finite number"),
        ({"table_up": ((True,),)}, r"table_up\[0\]: expected a finite number"),
        ({"dw_min_std": 0.3}, r"dw_min_std: expected 0 \(the tables hold the noise\), got 0\.3"),
    ],
)
def test_wrong_tables_get_one_line(values, message):
    with pytest.raises(ConfigError, match=message):
        TableStep(**values)

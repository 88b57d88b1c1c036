"""Lookup tables of measured steps to a device: what they hold is drawn, or one line says why."""

import json
import tomllib
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from ohmgrid.cli import cli
from ohmgrid.config import Config
from ohmgrid.devices.laws import DRAWS, ROOMS
from ohmgrid.doors.checks import ConfigError
from ohmgrid.measurements.step_tables import are_step_tables, read_step_tables
from ohmgrid.studies.staircase import staircase
from ohmgrid.training.settings import device_from_dict

HEAD = "1st Row = Gbins, 2nd Row = CDF Points, 3rd row onward =  dG matrix (rows= CDF)"
BINS = np.linspace(3e-4, 9e-4, 7)
POINTS = np.array([0.0, 0.001, 0.1, 0.25, 0.4, 0.5, 0.6, 0.75, 0.9, 0.999])
HALF = float(BINS[-1] - BINS[0]) / 2
NAMES = ("dG_increasing.txt", "dG_decreasing.txt")


def table_text(change: np.ndarray, mark: str = ", ") -> str:
    rows = (BINS, POINTS, *change)
    return "\n".join([HEAD, *(mark.join(f"{value:.17e}" for value in row) for row in rows)]) + "\n"


def changes() -> tuple[np.ndarray, np.ndarray]:
    """Return up and down changes in siemens: shape (points, bins)."""
    spread = np.sort(np.random.default_rng(1).normal(0, 1e-6, (len(POINTS), 1)), axis=0)
    slope = np.linspace(6e-6, 2e-6, len(BINS))
    return slope + spread, spread - slope[::-1]


def write(folder: Path, tables: tuple[np.ndarray, np.ndarray]) -> Path:
    folder.mkdir()
    for name, change in zip(NAMES, tables, strict=True):
        (folder / name).write_text(table_text(change))
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(tmp_path / "lut", changes())


def parts(column: np.ndarray, count: int) -> np.ndarray:
    """Return means of equally likely parts of a column's distribution, by many draws of it."""
    quantiles = (np.arange(count * 3000) + 0.5) / (count * 3000)
    return np.interp(quantiles, POINTS, column).reshape(count, 3000).mean(axis=1)


def test_steps_and_range_are_those_of_the_files(folder: Path):
    device, *ends = read_step_tables(folder)
    assert ends == pytest.approx([BINS[0], BINS[-1]])
    places = np.linspace(BINS[0], BINS[-1], ROOMS)
    for table, change, sign in zip(
        (device.table_up, device.table_down), changes(), (1, -1), strict=True
    ):
        columns = np.array([parts(column, DRAWS) for column in change.T])
        wanted = np.array([np.interp(places, BINS, draw) for draw in columns.T]).T
        found = np.array(table) * device.dw_min * HALF
        np.testing.assert_allclose(found, np.sort(sign * wanted, axis=1), atol=1e-10)
    assert device.granularity == pytest.approx(device.dw_min, rel=1e-4)
    assert (device.w_min, device.w_max, device.dw_min_dtod, device.w_max_dtod) == (-1, 1, 0, 0)


def test_devices_do_what_was_measured(folder: Path):
    """Thirty pulses move a population as far as the means of the files say, where it was."""
    device = read_step_tables(folder).device
    course = staircase(Config(device=device), 30, 0, 1024).arrays["mean"]
    means = [parts(column, 1)[0] for column in changes()[0].T]
    steps = np.interp(BINS.mean() + HALF * course[:-1], BINS, means) / HALF
    error = np.std(device.table_up[8]) * device.dw_min / np.sqrt(1024 / 30)
    assert course[-1] == pytest.approx(steps.sum(), abs=4 * error)


@pytest.mark.parametrize("mark", [",", "; ", "\t", "  "])
def test_order_names_and_separators_do_not_matter(folder: Path, tmp_path: Path, mark: str):
    paths = [tmp_path / name for name in ("b_set.csv", "a_reset.csv")]
    for path, change in zip(paths, changes(), strict=True):
        path.write_text(table_text(change, mark))
    assert read_step_tables(*paths) == read_step_tables(*paths[::-1]) == read_step_tables(folder)
    assert are_step_tables(*paths)
    assert not are_step_tables(paths[0])


def test_fit_makes_a_device_that_is_pulsed(folder: Path, tmp_path: Path):
    def run(*words: object) -> str:
        result = CliRunner().invoke(cli, [str(word) for word in words])
        assert result.exit_code == 0, (result.stderr, result.exception)
        return result.stdout

    found = json.loads(run("fit", folder, "--json"))
    path = tmp_path / "lut.toml"
    assert (found["device"], found["class"]) == (str(path), "TableStep")
    assert (
        device_from_dict(tomllib.loads(path.read_text())["device"])
        == read_step_tables(folder).device
    )
    assert Path(found["plot"]).read_bytes().startswith(b"\x89PNG")
    assert "TableStep" in run("device", path, "--up", 3, "--engine", "model", "--cells", 64)
    again = CliRunner().invoke(cli, ["fit", str(folder)])
    assert "out: expected a new file" in again.stderr
    assert "TableStep" in run("fit", *(folder / name for name in NAMES))
    assert (folder / "steps.toml").read_text() == path.read_text()


def one_line(*paths: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        read_step_tables(*paths)
    line = str(caught.value)
    assert "\n" not in line
    return line


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lines: lines[:4], "expected a lookup table of steps, got 4 lines; it is a line of"),
        (lambda lines: [*lines[:5], lines[5] + ", x"], "line 6: expected a number, got 'x'"),
        (lambda lines: [*lines[:5], lines[5] + ", 1"], "line 6: expected 7 changes of conductance"),
        (lambda lines: [*lines[:5], lines[5] + ", nan"], "line 6: expected finite numbers"),
        (lambda lines: lines[:-1], "expected 10 rows of changes, one for each CDF point, got 9"),
        (
            lambda lines: [lines[0], "2, 1, 3, 4, 5, 6, 7", *lines[2:]],
            "line 2: expected at least 2 conductance bins in siemens, rising, got [2.0, 1.0",
        ),
        (lambda lines: [*lines[:2], "-0.1, 0.5", *lines[3:]], "line 3: expected CDF points of 0"),
        (lambda lines: [*lines[:2], "0, 0", *lines[3:]], "line 3: expected at least 2 CDF points"),
    ],
)
def test_wrong_files_get_one_line_with_file_and_line(folder: Path, change, message: str):
    path = folder / NAMES[1]
    path.write_text("\n".join(change(path.read_text().splitlines())))
    line = one_line(folder)
    assert line.startswith(str(path))
    assert message in line


def test_what_is_no_pair_of_tables_gets_one_line(folder: Path, tmp_path: Path):
    path = folder / NAMES[0]
    assert "expected two lookup tables (a folder" in one_line(path)
    assert "whose steps lower the conductance" in one_line(path, path)
    (folder / "third.txt").write_text("")
    assert "got 'dG_decreasing.txt, dG_increasing.txt, third.txt'" in one_line(folder)
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "both files), got none; each is a line of text" in one_line(empty)
    assert "cannot be read" in one_line(tmp_path / "none", tmp_path / "none")
    spread = np.linspace(-1e-4, 1e-4, len(POINTS))
    spread -= parts(spread, 1)
    drift = np.full((len(POINTS), len(BINS)), 1e-7)
    weak = write(tmp_path / "weak", (spread[:, None] + drift, spread[:, None] - drift))
    assert "expected steps of at most 100 times the mean step in the middle" in one_line(weak)

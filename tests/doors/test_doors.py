"""Odd input through every door: one line each, never a traceback, never a fault of the program.

The inputs are made from a seed, so that a failure repeats (OHMGRID_TEST_SEED). `make test` draws a
sample of each kind, `make test-slow` all of them.
"""

import io
import os
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import tomli_w
from click.testing import CliRunner

from ohmgrid.cli import cli
from ohmgrid.commands.outputs import free_folder
from ohmgrid.config import Config
from ohmgrid.devices.presets import PRESETS
from ohmgrid.doors.checks import ConfigError
from ohmgrid.measurements.reader import read_measurement
from ohmgrid.training.data import load_data
from ohmgrid.training.runs import CHECKPOINT, read_run
from ohmgrid.training.settings import config_to_toml, device_to_toml

SAMPLE = 25
"""Inputs of a kind in `make test`."""
WHOLE = 200
"""Inputs of a kind in `make test-slow`: seven kinds, with the options 1,500 in all."""

WORDS = (
    *("", " ", "-1", "0", "1_0", "1.5", "nan", "inf", "-inf", "1e999", "1e-400", "9" * 400),
    *("٣", "a\nb", "[]", "{}", "true", "None", "../..", "x" * 5000, "64-32-", "-", "--", "\udcff"),
    *("0x10", "+5", "1,2", ",", "digits", "mnist.npz", ".toml", "/dev/null", "/proc/self/mem"),
)
OPTIONS = (
    *("config", "device", "seed", "lanes", "share", "bit-length", "data", "crop", "layers"),
    *("activation", "loss", "lr", "batch", "epochs"),
)
OTHERS = (
    *(("train", o) for o in ("engine", "threads", "out", "checkpoint-every", "data", "crop")),
    *(("compare", o) for o in ("engines", "steps", "layers", "example", "waveform")),
    *(("device", o) for o in ("up", "down", "cells", "engine", "out")),
    *(("symmetry", o) for o in ("pairs", "cells", "out")),
    *(("bench", o) for o in ("engines", "batch", "threads", "warm-up", "rounds", "seconds")),
    *(("fit", o) for o in ("nodes", "out", "class", "unit", "column", "retention", "update-time")),
)
VALUES = (
    *(0, -1, 1, 7, 2**31, 2**64, 10**40, 10**400, 1.5, -0.0, 1e-300, 1e300, 5e-324),
    *(float("inf"), float("nan"), True, False, "", "x", "abs-max", "1_0", [], [1], [[]], ["x"]),
    *({}, {"class": []}, {"preset": {}}, {"a": {"b": [1]}}),
)


def check(words: list[str]) -> None:
    """Run a command; hold it to success, or to one line and nothing on stdout."""
    result = CliRunner().invoke(cli, words)
    lines = [line for line in result.stderr.splitlines() if not line.startswith("warning: ")]
    assert result.exit_code in (0, 1, 2), (words, result.stderr)
    if result.exit_code:
        assert len(lines) == 1, (words, result.stderr)
        assert lines[0].startswith("error: "), (words, lines)
        # A file's name is shown whole, whatever else is cut short.
        assert len(lines[0]) < 2000 + len(words[-1]), (words, lines)
        assert result.stdout == "", (words, result.stdout)


def one_line(read: Callable[[], object]) -> bool:
    """Return whether something was read; what was not must be a `ConfigError` of one line."""
    line = ""
    try:
        read()
    except ConfigError as error:
        line = str(error)
    assert "\n" not in line, line
    return not line


def damaged(rng: np.random.Generator, raw: bytes) -> bytes:
    """Return bytes with a few of them changed, removed, doubled or cut off."""
    changed = bytearray(raw)
    for _ in range(int(rng.integers(1, 4))):
        place = int(rng.integers(0, max(1, len(changed))))
        match int(rng.integers(0, 5)):
            case 0:
                changed[place : place + 1] = bytes([int(rng.integers(0, 256))])
            case 1:
                del changed[place : place + int(rng.integers(1, 40))]
            case 2:
                changed[place:place] = changed[place : place + int(rng.integers(1, 40))]
            case 3:
                changed[place:place] = rng.bytes(int(rng.integers(1, 9)))
            case _:
                del changed[max(place, 1) :]
    return bytes(changed)


def replaced(rng: np.random.Generator, tables: dict) -> str:
    """Return TOML with one value, at any depth, replaced by an odd one or its key misspelt."""
    table = tables
    while True:
        key = list(table)[int(rng.integers(0, len(table)))]
        if not isinstance(table[key], dict) or not table[key] or rng.integers(0, 8) == 0:
            break
        table = table[key]
    if rng.integers(0, 6) == 0:
        table[f"{key}_"] = table.pop(key)
    else:
        table[key] = VALUES[int(rng.integers(0, len(VALUES)))]
    return tomli_w.dumps(tables)


# Kinds: each yields inputs, and holds the program to what may come of each ------------------------


def odd_configurations(rng: np.random.Generator, folder: Path) -> Iterator[Callable[[], object]]:
    names, path = list(PRESETS), folder / "c.toml"
    while True:
        device = PRESETS[names[int(rng.integers(0, len(names)))]]
        training = {"lr": 0.1, "epochs": 2, "layers": "64-8-10", "data": "digits", "crop": ""}
        text = config_to_toml(Config(device=device), training)
        text = replaced(rng, tomllib.loads(text))
        path.write_text(text)
        yield lambda: check(["config", "--config", str(path)])


def odd_devices(rng: np.random.Generator, folder: Path) -> Iterator[Callable[[], object]]:
    """Devices that are accepted must also make a tile, or say why not."""
    names, path = list(PRESETS), folder / "d.toml"
    words = ["device", str(path), "--cells", "4", "--up", "1", "--down", "1", "--engine", "model"]
    while True:
        device = PRESETS[names[int(rng.integers(0, len(names)))]]
        path.write_text(replaced(rng, tomllib.loads(device_to_toml(device))))
        yield lambda: check(words)


def damaged_texts(rng: np.random.Generator, folder: Path) -> Iterator[Callable[[], object]]:
    path, text = folder / "t.toml", config_to_toml(Config(), {"lr": 0.2}).encode()
    while True:
        path.write_bytes(damaged(rng, text))
        yield lambda: check(["config", "--config", str(path)])


def damaged_data(rng: np.random.Generator, folder: Path) -> Iterator[Callable[[], object]]:
    path, file = folder / "d.npz", io.BytesIO()
    images = rng.integers(0, 256, (9, 3, 3)).astype(np.uint8)
    arrays = {"x_train": images, "y_train": np.arange(9) % 3}
    arrays |= {"x_test": images[:3], "y_test": np.arange(3)}
    (np.savez_compressed if rng.integers(0, 2) else np.savez)(file, **arrays)
    while True:
        path.write_bytes(damaged(rng, file.getvalue()))
        yield lambda: one_line(lambda: load_data(str(path), 12, 16))


def odd_arrays(rng: np.random.Generator, folder: Path) -> Iterator[Callable[[], object]]:
    path = folder / "a.npz"
    odd = [
        *(np.zeros(shape) for shape in ((), (0,), (9,), (9, 0), (9, 3, 3), (1, 1, 1, 1), (2, 9))),
        *(np.zeros((9, 3, 3), kind) for kind in ("?", "<u2", ">f4", "<f2", "<i8", "<c8", "S3")),
        *(np.full((9, 3, 3), value) for value in (np.nan, np.inf, 1e308, -1e308, 8.1, -1.0)),
        *(np.array(value) for value in ("text", b"bytes", [2**63], [-1] * 9, [70000] * 9)),
        np.zeros((9, 3, 3), np.longdouble),
        np.zeros(9, "M8[s]"),
        np.zeros(9, [("a", "<i4")]),
        np.asfortranarray(np.arange(27.0).reshape(3, 3, 3)),
    ]
    while True:
        images = np.zeros((9, 3, 3), np.uint8)
        arrays = {"x_train": images, "y_train": np.arange(9) % 3}
        arrays |= {"x_test": images, "y_test": np.arange(9) % 3}
        key = list(arrays)[int(rng.integers(0, 4))]
        arrays[key] = odd[int(rng.integers(0, len(odd)))]
        np.savez(path, **arrays)
        yield lambda: one_line(lambda: load_data(str(path), 12, 16))


def damaged_measurements(rng: np.random.Generator, folder: Path) -> Iterator[Callable[[], object]]:
    path = folder / "m.csv"
    course = [min(k, 20 - k) + 0.1 * (k % 3) for k in range(20)]
    rows = [f"a,{k},{g},{'up' if k < 11 else 'down'}" for k, g in enumerate(course)]
    text = ("device,pulse,conductance,direction\n" + "\n".join(rows)).encode()
    while True:
        path.write_bytes(damaged(rng, text))
        yield lambda: one_line(lambda: read_measurement([path]))


def odd_checkpoints(rng: np.random.Generator, folder: Path) -> Iterator[Callable[[], object]]:
    """No change of a checkpoint is believed, whatever its length."""
    raw = trained(folder, "--epochs", "1").joinpath(CHECKPOINT).read_bytes()
    path = folder / "broken" / CHECKPOINT
    path.parent.mkdir()
    while True:
        changed = damaged(rng, raw)
        path.write_bytes(changed)
        yield lambda changed=changed: check_refused(path.parent, changed == raw)


KINDS = (
    *(odd_configurations, odd_devices, damaged_texts, damaged_data, odd_arrays),
    *(damaged_measurements, odd_checkpoints),
)


def check_refused(folder: Path, same: bool) -> None:
    assert one_line(lambda: read_run(folder)) is same


def trained(folder: Path, *words: str) -> Path:
    """Train a small net and return its folder."""
    labels = np.arange(60) % 3
    images = np.random.default_rng(2).integers(0, 256, (60, 4)).astype(np.uint8)
    data, out = folder / "small.npz", folder / "run"
    np.savez(data, x_train=images, y_train=labels, x_test=images[:9], y_test=labels[:9])
    line = ["train", "--data", str(data), "--layers", "4-3", "--engine", "model", "--out", str(out)]
    result = CliRunner().invoke(cli, [*line, *words])
    assert result.exit_code == 0, result.stderr
    return out


def inputs(kind: Callable, rng: np.random.Generator, folder: Path, count: int) -> None:
    for _, hold in zip(range(count), kind(rng, folder), strict=False):
        hold()


@pytest.mark.parametrize("kind", KINDS)
def test_odd_input_of_each_kind_gets_one_line(kind, rng, tmp_path):
    inputs(kind, rng, tmp_path, SAMPLE)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_much_odd_input_of_each_kind_gets_one_line(kind, rng, tmp_path):
    inputs(kind, rng, tmp_path, WHOLE)


@pytest.mark.parametrize("option", OPTIONS)
def test_odd_words_for_options_that_every_verb_takes(option, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for word in WORDS:
        check(["config", f"--{option}={word}"])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("verb", "option"), OTHERS)
def test_odd_words_for_options_of_one_verb(verb, option, tmp_path, monkeypatch):
    """Every word but a valid one is refused before anything is started."""
    monkeypatch.chdir(tmp_path)
    argument = {"device": ["ecram"], "symmetry": ["ecram"], "fit": ["none.csv"]}.get(verb, [])
    # An engine that does not exist: words that are valid are refused for it, at once.
    stop = {"train": ["--engine", "x"], "device": ["--engine", "x"], "symmetry": ["--engine", "x"]}
    stop |= {"compare": ["--engines", "x"], "bench": ["--engines", "x"]}
    for word in WORDS:
        check([verb, *argument, *stop.get(verb, []), f"--{option}={word}"])
    assert list(tmp_path.iterdir()) == []


def test_an_unexpected_fault_has_its_own_status_and_line(monkeypatch, tmp_path):
    def broken(*arguments: object) -> None:
        raise TypeError("first\nsecond")

    monkeypatch.setattr("ohmgrid.commands.show.choose", broken)
    result = CliRunner().invoke(cli, ["config"])
    assert result.exit_code == 70
    (line,) = result.stderr.splitlines()
    assert line.startswith("internal fault: TypeError: first second (please report it")


# Kills --------------------------------------------------------------------------------------------


def killed_and_resumed(folder: Path, after_s: float) -> tuple[str, str]:
    """Kill a run some time after its first checkpoint; return its hash when resumed, and whole."""
    words = ("--epochs", "30", "--checkpoint-every", "0.05")
    whole = trained(folder, *words)
    expected = (whole / "metrics.json").read_text()
    out = folder / "killed"
    line = [
        sys.executable,
        "-c",
        "from ohmgrid.cli import main; main()",
        "train",
        "--out",
        str(out),
    ]
    line += ["--config", str(whole / "config.toml"), "--engine", "model", *words]
    with subprocess.Popen(line, stdout=subprocess.DEVNULL, env=os.environ.copy()) as process:
        while not (out / CHECKPOINT).exists() and process.poll() is None:
            time.sleep(0.01)
        with suppress(subprocess.TimeoutExpired):
            process.wait(after_s)
        process.kill()
    result = CliRunner().invoke(
        cli, ["train", "--resume", "--out", str(out), "--engine", "model", "--json"]
    )
    assert result.exit_code == 0, result.stderr
    return result.stdout.split('"state_sha256": "')[1][:64], expected


@pytest.mark.slow
@pytest.mark.parametrize("after_s", [0.0, 0.4])
def test_a_killed_run_goes_on_to_the_same_bits(after_s, tmp_path):
    found, expected = killed_and_resumed(tmp_path, after_s)
    assert found in expected


@pytest.mark.slow
@pytest.mark.parametrize("point", range(20))
def test_a_run_killed_at_any_point_goes_on_to_the_same_bits(point, tmp_path):
    found, expected = killed_and_resumed(tmp_path, 0.07 * point)
    assert found in expected


def test_interrupted_runs_without_a_folder_get_folders_of_their_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = [str(free_folder(Path("runs/interrupted"))) for _ in range(3)]
    assert made == ["runs/interrupted", "runs/interrupted-2", "runs/interrupted-3"]

"""Runs: what they write repeats them, goes on, is refused where damaged, and is never lost."""

import ast
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import ohmgrid
from ohmgrid.cli import cli
from ohmgrid.config import Config, FormatConfig
from ohmgrid.counters import Counters, warnings_of
from ohmgrid.devices.steps import ConstantStep
from ohmgrid.doors.checks import ConfigError
from ohmgrid.registers.meters import FIELDS
from ohmgrid.tile import TileState
from ohmgrid.training.plan import Plan
from ohmgrid.training.runs import CHECKPOINT, Checkpoint, Progress, read_checkpoint, read_run
from ohmgrid.training.settings import Settings, config_to_toml, parse_settings

PROGRAM = (sys.executable, "-c", "from ohmgrid.cli import main; main()")
SMALL = ("--layers", "16-6-3", "--epochs", "2", "--lr", "0.2", "--engine", "model")


def run(*words: object, status: int = 0):
    """Run the command line; return what it printed on stdout and on stderr."""
    result = CliRunner().invoke(cli, [str(word) for word in words])
    assert result.exit_code == status, (result.stdout, result.stderr, result.exception)
    return result.stdout, result.stderr


def train(*words: object) -> dict:
    """Train, and return the object that ``--json`` prints."""
    return json.loads(run("train", *words, "--json")[0])


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--seed", 7, "--batch", 5, "--bit-length", 9),
        ("--activation", "relu", "--loss", "squared"),
        ("--device", "pcm", "--crop", "2x4", "--layers", "8-4-3", "--epochs", 1),
    ],
)
def test_a_runs_own_file_repeats_it(options, blobs, tmp_path):
    first = train("--data", blobs, *SMALL, *options, "--out", tmp_path / "a")
    config = tmp_path / "a" / "config.toml"
    again = train("--config", config, "--engine", "model", "--out", tmp_path / "b")
    for name in ("state_sha256", "bits_sha256", "data_sha256", "counters", "batch", "layers"):
        assert again[name] == first[name], name
    assert (tmp_path / "b" / "config.toml").read_text() == config.read_text()


def test_a_learning_rate_decays_after_an_epoch(blobs):
    assert Plan(lr=0.4, lr_decay=0.5).rate(2) == 0.1
    runs = {
        (epochs, decay): train("--data", blobs, *SMALL, "--epochs", epochs, "--lr-decay", decay)
        for epochs in (1, 2)
        for decay in (1, 0.5)
    }
    assert runs[1, 1]["state_sha256"] == runs[1, 0.5]["state_sha256"]
    assert runs[2, 1]["state_sha256"] != runs[2, 0.5]["state_sha256"]


def test_batch_in_a_file_is_not_ignored(blobs, tmp_path):
    path = tmp_path / "c.toml"
    path.write_text("batch = 4\n[training]\nlr = 0.2\nepochs = 1\nlayers = '16-6-3'\n")
    found = train("--data", blobs, "--config", path, "--engine", "model")
    assert (found["batch"], found["lr"]) == (4, 0.2)
    assert len(found["epochs"]) == 2
    other = train("--data", blobs, "--config", path, "--engine", "model", "--batch", 1)
    assert other["state_sha256"] != found["state_sha256"]


def test_relu_nets_have_fewer_fraction_bits_unless_the_file_says_so():
    def x_frac(text: str) -> int:
        return parse_settings(text).config().formats.x_frac

    assert x_frac("[training]\nactivation = 'relu'\n") == 10
    assert x_frac("[training]\nactivation = 'tanh'\n") == 12
    assert x_frac("[training]\nactivation = 'relu'\n[formats]\nx_frac = 12\n") == 12
    assert x_frac("[training]\nactivation = 'relu'\n[formats]\nedge_bits = 9\nd_frac = 8\n") == 8
    assert Settings().config().formats == FormatConfig()


def test_folders_are_written_over_only_with_force(blobs, tmp_path):
    out = tmp_path / "run"
    words = ("--data", blobs, *SMALL, "--out", out)
    first = train(*words)
    _, error = run("train", *words, status=1)
    assert "holds a finished run" in error
    assert json.loads((out / "metrics.json").read_text()) == first
    train(*words, "--seed", 2, "--force")
    assert read_run(out).config.seed == 2


def test_nothing_of_the_users_is_touched(blobs, tmp_path):
    out = tmp_path / "run"
    out.mkdir()
    (out / "probe").write_text("mine")
    train("--data", blobs, *SMALL, "--out", out)
    assert (out / "probe").read_text() == "mine"
    assert not [path.name for path in out.iterdir() if path.name.startswith(".")]


def test_a_moved_data_file_resumes_by_its_hash(blobs, tmp_path):
    out, moved = tmp_path / "run", tmp_path / "moved.npz"
    whole = train("--data", blobs, *SMALL, "--epochs", 3)
    train("--data", blobs, *SMALL, "--epochs", 1, "--out", out)
    Path(blobs).rename(moved)
    words = ("--resume", "--out", out, "--epochs", 3, "--engine", "model")
    _, error = run("train", *words, status=1)
    assert "blobs.npz" in error
    found = train(*words, "--data", moved)
    assert found["state_sha256"] == whole["state_sha256"]
    assert found["counters"] == whole["counters"]


def test_a_run_is_not_resumed_to_less_than_it_has_done(blobs, tmp_path):
    out = tmp_path / "run"
    train("--data", blobs, *SMALL, "--out", out)
    before = (out / CHECKPOINT).read_bytes()
    _, error = run("train", "--resume", "--out", out, "--epochs", 1, "--engine", "model", status=1)
    assert error == "error: epochs: expected at least 2, so far is the run, got 1\n"
    assert (out / CHECKPOINT).read_bytes() == before


@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_a_signal_leaves_a_checkpoint_that_goes_on_to_the_same_bits(number, blobs, tmp_path):
    words = ["--data", str(blobs), *SMALL, "--epochs", "40"]
    out = tmp_path / "run"
    whole = train(*words)
    command = [*PROGRAM, "train", *words, "--out", str(out)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ.copy()
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.split()[:1] == ["1"]:
                break
        process.send_signal(number)
        _, error = process.communicate(timeout=60)
    assert process.returncode == 128 + number, error
    assert "go on with: ohmgrid train --resume" in error
    assert read_run(out).progress.epoch < 40
    found = train("--resume", "--out", out, "--engine", "model")
    assert found["state_sha256"] == whole["state_sha256"]


def small(**changes) -> Checkpoint:
    """Return a checkpoint of a net of one tile."""
    plan = Plan(layers="2-3", epochs=2)
    values = {
        "plan": plan,
        "config": Config(),
        "data_sha256": "0" * 64,
        "progress": Progress(),
        "history": [],
        "states": [TileState(np.arange(9, dtype=np.int32).reshape(3, 3), (4, 0, 3))],
        "counters": Counters(1),
    }
    return Checkpoint(**{**values, **changes})


def test_a_checkpoint_is_read_as_it_was_written(tmp_path):
    counters = Counters(1)
    counters.add(0, pulses_up=5, passes=(1 << 48) - 1)
    written = small(counters=counters)
    written.write(tmp_path / "c.npz")
    found = read_checkpoint(tmp_path / "c.npz")
    assert (found.plan, found.config, found.counters) == (
        written.plan, written.config, written.counters,
    )  # fmt: skip
    np.testing.assert_array_equal(found.weights[0], np.arange(9).reshape(3, 3) * 2.0**-16)
    assert [path.name for path in tmp_path.iterdir()] == ["c.npz"]


def test_no_flipped_byte_of_a_checkpoint_is_believed(tmp_path, rng):
    path = tmp_path / "c.npz"
    small().write(path)
    whole = path.read_bytes()
    for place in rng.choice(len(whole), 200, replace=False):
        damaged = bytearray(whole)
        damaged[place] ^= int(rng.integers(1, 256))
        path.write_bytes(damaged)
        with pytest.raises(ConfigError) as caught:
            read_checkpoint(path)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"progress": Progress(epoch=3)}, "progress.epoch: expected 0..2, got 3"),
        ({"progress": Progress(epoch=1)}, "history: expected a row for each of epochs 0..1"),
        ({"progress": Progress(position=-1)}, "progress.position"),
        ({"progress": Progress(hits=4)}, "progress.hits: expected at most 0, got 4"),
        ({"history": [{"epoch": "1"}]}, "history"),
        ({"states": []}, "content: expected 1 tiles, got 0"),
        ({"counters": Counters(2)}, "counters: expected 1 layers, got 2"),
        ({"data_sha256": "x"}, "data_sha256"),
        ({"states": [TileState(np.zeros((3, 3), np.int32), (-1, 0, 0))]}, "steps_0"),
        ({"states": [TileState(np.zeros((3, 2), np.int32), (0, 0, 0))]}, "weights_0"),
        ({"states": [TileState(np.full((3, 3), 1 << 17, np.int32), (0, 0, 0))]}, "weights_0"),
    ],
)
def test_a_whole_checkpoint_of_no_run_gets_one_line(changes, line, tmp_path):
    path = tmp_path / "c.npz"
    small(**changes).write(path)
    with pytest.raises(ConfigError) as caught:
        read_checkpoint(path)
    assert line in str(caught.value)


def test_what_decides_bits_has_a_digest():
    one, config = small(), Config()
    same = [
        small(plan=replace(one.plan, data="moved.npz", epochs=9)),
        small(config=config.replace(build={"lanes": 3})),
    ]
    assert {other.bits_sha256 for other in same} == {one.bits_sha256}
    others = [
        small(plan=replace(one.plan, lr=0.3)),
        small(config=config.replace(seed=2)),
        small(data_sha256="1" * 64),
    ]
    assert len({one.bits_sha256, *(other.bits_sha256 for other in others)}) == 4


def test_numpy_numbers_are_written_as_plain_ones(tmp_path):
    device = ConstantStep(dw_min=np.float64(0.001))
    config = Config(seed=int(np.int64(3)), device=device)
    assert parse_settings(config_to_toml(config)).config() == config
    small(config=config).write(tmp_path / "c.npz")
    assert read_checkpoint(tmp_path / "c.npz").config == config


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[device]\nclass = []\n", "device.class: expected one of"),
        ("[device]\npreset = {}\n", "device.preset: expected one of"),
        ("seed = true\n", "seed: expected"),
        ("[build]\nlanes = 1.5\n", "build.lanes: expected"),
        ("[forward]\nout_bound = " + "9" * 400 + "\n", "forward.out_bound: expected"),
        ("[forwards]\n", "unknown key 'forwards'"),
        ("[training]\nlr = 'x'\n", "training.lr: expected"),
        ("[training]\nlayer = '3-2'\n", "layer"),
        ("lanes = 3\n", "unknown key 'lanes'"),
        ("= 3\n", "TOML"),
    ],
)
def test_a_wrong_file_gets_one_line_with_its_name_and_key(text, line, tmp_path):
    path = tmp_path / "c.toml"
    path.write_text(text)
    _, error = run("train", "--config", path, status=1)
    assert error.startswith(f"error: {path}: ")
    assert line in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("--out", ""), "out"),
        (("--seed", "1_0"), "seed"),
        (("--lr", "0_1"), "lr"),
        (("--seed", "9" * 400), "seed"),
        (("--epochs", "0"), "epochs: expected 1..100000, got 0"),
    ],
)
def test_a_wrong_option_gets_one_line_with_its_name(words, line):
    result = CliRunner().invoke(cli, ["train", *words])
    assert result.exit_code in (1, 2)
    assert result.stdout == ""
    assert line in result.stderr
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1


def test_a_fault_of_the_program_is_not_shown_as_the_users(monkeypatch, blobs):
    def broken(*args: object) -> None:
        raise ValueError("inside")

    monkeypatch.setattr("ohmgrid.commands.train.start_core", broken)
    _, error = run("train", "--data", blobs, *SMALL, status=70)
    assert "error: " not in error.split(":")[0]
    assert "OHMGRID_DEBUG=1" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("engine", ["model", "compiled", "rtl"])
def test_a_build_that_lacks_what_a_device_needs_is_refused_by_every_engine(engine, tmp_path):
    path = tmp_path / "c.toml"
    path.write_text("[build]\ntime = false\n[device]\npreset = 'capacitor'\n")
    _, error = run("train", "--config", path, "--engine", engine, status=1)
    assert error == "error: build.time: expected true for this device, got false\n"


def test_counters_wrap_and_are_checked():
    counters = Counters(2)
    counters.add(1, passes=(1 << 48) - 1)
    counters.add(1, passes=3)
    assert counters["passes"].tolist() == [0, 2]
    assert Counters.from_dict(counters.as_dict()) == counters
    for wrong in ({}, [], {**counters.as_dict(), "passes": [1]}, {"passes": [1, 2]}):
        with pytest.raises(ConfigError, match="counters: expected"):
            Counters.from_dict(wrong)  # type: ignore[arg-type]
    assert list(counters.as_dict()) == list(FIELDS)


def test_a_count_that_decides_the_outcome_is_named():
    shapes, counters = [(10, 5), (4, 11)], Counters(2)
    counters.add(0, activation=150, updates=100, clipped_trains=60)
    assert warnings_of(counters, shapes, 100, [0.0, 0.9], learned=True) == [
        "layer 0: activations clip at the tile's edge; lower formats.x_frac or the learning rate "
        "(15%)"
    ]
    lines = warnings_of(counters, shapes, 100, [0.0, 0.9], learned=False)
    assert [line.partition(" (")[0][:22] for line in lines[1:]] == [
        "layer 0: updates ask f",
        "layer 1: devices stand",
        "the net is no better t",
    ]


ROOT = Path(ohmgrid.__file__).parent


def imported(path: Path) -> set[str]:
    """Return the modules that a file imports."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    return names


@pytest.mark.parametrize(
    "path",
    [p for p in sorted(ROOT.glob("*.py")) if "tandard library only." in p.read_text()],
    ids=lambda path: path.name,
)
def test_modules_that_claim_the_standard_library_only_keep_to_it(path):
    """What they import of ohmgrid keeps to it too, whether it says so or not."""
    left, seen = [path], set()
    while left:
        for name in imported(left.pop()) - seen:
            seen.add(name)
            top, _, rest = name.partition(".")
            if top == "ohmgrid":
                left.append(ROOT / f"{rest.replace('.', '/')}.py")
            else:
                assert top in sys.stdlib_module_names, f"{path.name} leads to {name}"

"""The command line: what it prints, what it writes, and the line each wrong input gets."""

import json
import signal
import sys
import types

import pytest
from click.testing import CliRunner

from ohmgrid import engines
from ohmgrid.cli import cli
from ohmgrid.compiled.core import CompiledCore
from ohmgrid.config import Config
from ohmgrid.doors.checks import OhmgridError
from ohmgrid.model.core.core import Core
from ohmgrid.training.session import Session
from ohmgrid.training.settings import load_settings, parse_settings

SMALL = ("--layers", "16-6-3", "--epochs", "2", "--lr", "0.2")


def run(*words: str, status: int = 0):
    """Run the command line; return what it printed on stdout and on stderr."""
    result = CliRunner().invoke(cli, [str(word) for word in words])
    assert result.exit_code == status, (result.stdout, result.stderr, result.exception)
    return result.stdout, result.stderr


def fails(*words: str) -> str:
    """Run a command that must fail with one line and nothing on stdout."""
    result = CliRunner().invoke(cli, [str(word) for word in words])
    assert result.exit_code not in (0, 130), result.stdout
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("error: ")
    return lines[0]


def test_help_without_arguments():
    out, _ = run()
    for verb in ("train", "compare", "devices", "config", "synth"):
        assert verb in out
    assert "0." in run("--version")[0]


def test_train_prints_one_object_and_writes_its_files(blobs, tmp_path):
    out = tmp_path / "a" / "run"
    stdout, stderr = run("train", "--data", blobs, *SMALL, "--json", "--out", out)
    found = json.loads(stdout)
    assert found["engine"] == "compiled"
    assert found["device"] == "gokmen-vlasov"
    assert (found["seed"], found["lanes"], found["lr"]) == (1, 16, 0.2)
    assert (found["layers"], found["cells"]) == ("16-6-3", 6 * 17 + 3 * 7)
    assert 0 <= found["test_accuracy"] <= 1
    assert found["examples_per_s"] > 0
    assert len(found["state_sha256"]) == 64
    assert [row["epoch"] for row in found["epochs"]] == [0, 1, 2]
    assert "test accuracy" in stderr
    written = sorted(path.name for path in out.iterdir())
    assert written == [
        "accuracy.png",
        "checkpoint.npz",
        "conductance.png",
        "config.toml",
        "metrics.json",
        "weights.png",
    ]
    assert json.loads((out / "metrics.json").read_text()) == found
    assert load_settings(out / "config.toml").config() == Config()
    for name in ("accuracy.png", "conductance.png", "weights.png"):
        assert (out / name).read_bytes().startswith(b"\x89PNG")


def test_train_for_people_says_where_the_pictures_are(blobs, tmp_path):
    stdout, stderr = run(
        "train", "--data", blobs, *SMALL, "--epochs", "6", "--out", tmp_path / "run"
    )
    assert stderr == ""
    assert f"{tmp_path / 'run' / 'accuracy.png'}" in stdout
    assert "state_sha256" in stdout


def test_the_same_seed_gives_the_same_hash_and_lanes_do_not_matter(blobs):
    found = [
        json.loads(run("train", "--data", blobs, *SMALL, "--json", *more)[0])["state_sha256"]
        for more in ((), ("--lanes", "3", "--share", "2"), ("--seed", "2"), ("--bit-length", "3"))
    ]
    assert found[0] == found[1]
    assert len(set(found)) == 3


def test_train_takes_a_whole_configuration_and_a_device_file(blobs, tmp_path):
    config, device = tmp_path / "c.toml", tmp_path / "d.toml"
    config.write_text(run("config", "--device", "ecram", "--seed", "9", "--bit-length", "7")[0])
    device.write_text('class = "SoftBounds"\ndw_min = 0.003\n')
    found = json.loads(run("train", "--data", blobs, *SMALL, "--json", "--config", config)[0])
    assert (found["device"], found["seed"], found["bit_length"]) == ("ecram", 9, 7)
    found = json.loads(run("train", "--data", blobs, *SMALL, "--json", "--device", device)[0])
    assert found["device"] == "SoftBounds"
    device.write_text('[device]\npreset = "ecram"\n')
    found = json.loads(run("train", "--data", blobs, *SMALL, "--json", "--device", device)[0])
    assert found["device"] == "ecram"


def test_layers_left_out_fit_the_data(blobs):
    found = json.loads(run("train", "--data", blobs, "--crop", "2x4", "--epochs", "1", "--json")[0])
    assert found["layers"] == "8-32-3"


def interrupt_after(monkeypatch, calls: int) -> None:
    """Press Ctrl-C in the middle of the given block of 16 examples."""
    advance, count = Session.advance, iter(range(10**6))

    def interrupted(self):
        if next(count) == calls:
            signal.raise_signal(signal.SIGINT)
        return advance(self)

    monkeypatch.setattr(CompiledCore, "block", Core.block)
    monkeypatch.setattr(Session, "advance", interrupted)


@pytest.mark.parametrize(("block", "engine"), [(0, "model"), (2, "compiled"), (5, "compiled")])
@pytest.mark.parametrize("batch", ["1", "5"])
def test_ctrl_c_leaves_a_checkpoint_and_says_how_to_go_on(
    blobs, tmp_path, monkeypatch, block, engine, batch
):
    options = ("train", "--data", blobs, *SMALL, "--json", "--batch", batch, "--engine", engine)
    whole = json.loads(run(*options)[0])
    out = tmp_path / "run"
    with monkeypatch.context() as patch:
        interrupt_after(patch, block)
        stdout, stderr = run(*options, "--out", out, status=130)
    assert stdout == ""
    assert f"go on with: ohmgrid train --resume --out {out}" in stderr
    assert "holds an unfinished run" in fails(*options, "--out", out)
    resumed = json.loads(run("train", "--resume", "--out", out, "--lanes", "2", "--json")[0])
    assert resumed["state_sha256"] == whole["state_sha256"]
    assert resumed["test_accuracy"] == whole["test_accuracy"]


def test_ctrl_c_without_a_folder_keeps_the_run(blobs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with monkeypatch.context() as patch:
        interrupt_after(patch, 1)
        _, stderr = run("train", "--data", blobs, *SMALL, status=130)
    assert "--out runs/interrupted" in stderr
    run("train", "--resume", "--out", "runs/interrupted")


def test_a_finished_run_is_trained_further(blobs, tmp_path):
    options = ("train", "--data", blobs, "--layers", "16-6-3", "--json")
    run(*options, "--epochs", "1", "--out", tmp_path / "r")
    more = run("train", "--resume", "--epochs", "2", "--out", tmp_path / "r", "--json")[0]
    whole = run(*options, "--epochs", "2")[0]
    assert json.loads(more)["state_sha256"] == json.loads(whole)["state_sha256"]


def test_a_resumed_run_keeps_what_decides_its_bits(blobs, tmp_path):
    out = tmp_path / "r"
    run("train", "--data", blobs, *SMALL, "--out", out)
    for words, line in (
        (("--lr", "0.3"), "lr: expected 0.2, with which the run"),
        (("--layers", "16-3"), "layers: expected '16-6-3'"),
        (("--batch", "4"), "batch: expected 1, with which the run"),
        (("--data", "digits"), "data: expected the examples that the run began with"),
        (("--seed", "2"), "seed: expected 1, with which the run"),
        (("--bit-length", "7"), "pulses.desired_bl: expected 31, with which the run"),
        (("--device", "ecram"), "device: expected 'gokmen-vlasov', with which the run"),
        (("--epochs", "1"), "epochs: expected at least 2, so far is the run, got 1"),
        (("--force",), "force: expected --resume or --force, got both"),
    ):
        assert line in fails("train", "--resume", "--out", out, *words)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("tran",), "No such command 'tran'"),
        (("train", "--foo"), "No such option '--foo'"),
        (("train", "extra"), "unexpected extra argument"),
        (("train", "--lr", "abc"), "lr: expected a number, got 'abc'"),
        (("train", "--lr", "nan"), "lr: expected a finite number in 1e-06..1000, got nan"),
        (("train", "--lr", "0"), "lr: expected 1e-06..1000, got 0"),
        (("train", "--lr", "-0.1"), "lr: expected 1e-06..1000, got -0.1"),
        (("train", "--epochs", "0"), "epochs: expected 1..100000, got 0"),
        (("train", "--epochs", "1.5"), "epochs: expected an integer, got '1.5'"),
        (("train", "--epochs", "1_0"), "epochs: expected an integer, got '1_0'"),
        (("train", "--seed", "٣"), "seed: expected an integer, got '٣'"),
        (("train", "--lr", "1_0.0"), "lr: expected a number, got '1_0.0'"),
        (("train", "--out", ""), "out: expected a folder, got ''"),
        (("train", "--config", ""), "config: expected a file, got ''"),
        (("train", "--checkpoint-every", "-1"), "checkpoint-every: expected 0..86400, got -1"),
        (("train", "--batch", "0"), "batch: expected 1..65536, got 0"),
        (("train", "--threads", "0"), "threads: expected 1..256, got 0"),
        (("train", "--seed", "-1"), "seed: expected 0..18446744073709551615, got -1"),
        (("train", "--lanes", "0"), "lanes: expected 1..1024, got 0"),
        (("train", "--share", "99"), "share: expected 1..64, got 99"),
        (("train", "--bit-length", "128"), "bit-length: expected 1..127, got 128"),
        (
            ("train", "--engine", "gpu"),
            "engine: expected one of model, compiled, rtl, virtual, PORT, got 'gpu'",
        ),
        (("train", "--device", "pcm2"), "expected one of idealized, gokmen-vlasov"),
        (("train", "--device", "none.toml"), "none.toml: cannot be read: No such file"),
        (("train", "--config", "none.toml"), "none.toml: cannot be read: No such file"),
        (("train", "--data", "cifar"), "data: expected digits, mnist, a file FILE.npz"),
        (("train", "--data", "none.npz"), "none.npz: cannot be read: No such file"),
        (("train", "--crop", "9x9"), "crop: expected at most the image's 8x8"),
        (("train", "--crop", "big"), "crop: expected HEIGHTxWIDTH such as 22x24"),
        (("train", "--layers", "64"), "layers: expected sizes such as 64-32-10"),
        (("train", "--layers", "64-x-10"), "layers: expected sizes such as 64-32-10"),
        (("train", "--layers", "63-32-10"), "layers: expected 64 inputs for digits (8x8), got 63"),
        (("train", "--layers", "64-32-9"), "layers: expected at least 10 outputs for digits"),
        (("train", "--layers", "64-99999-99999-10"), "layers: expected at most"),
        (("train", "--activation", "step"), "activation: expected one of sigmoid, tanh, relu"),
        (("train", "--loss", "mse"), "loss: expected one of cross-entropy, squared, got 'mse'"),
        (("train", "--out", "/dev/null"), "/dev/null: expected a folder to write to"),
        (("train", "--resume"), "resume: expected --out DIR"),
        (("train", "--resume", "--out", "/nowhere"), "expected the checkpoint of a run"),
        (("compare", "--engines", "model"), "engines: expected two or more of model, comp"),
        (("compare", "--engines", "rtl,rtl"), "engines: expected two or more of model, comp"),
        (
            ("compare", "--engines", "model,x"),
            "of model, compiled, rtl, virtual, PORT, got 'x'",
        ),
        (("compare", "--steps", "0"), "steps: expected 1..1000000000, got 0"),
        (("config", "--lanes", "2000"), "lanes: expected 1..1024, got 2000"),
    ],
)
def test_a_wrong_word_gets_one_line(words, line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert line in fails(*words)
    assert list(tmp_path.iterdir()) == []


def test_wrong_device_and_configuration_files_get_one_line(tmp_path):
    path = tmp_path / "d.toml"
    for text, line in (
        ("class = ", "not valid TOML"),
        ("device = 3", "device: expected a table [device], got 3"),
        ("class = []", "device.class: expected one of ConstantStep, "),
        ("preset = {}", "device.preset: expected one of idealized, "),
        ("class = 'ConstantStep'\nfoo = 1", "device: unknown key 'foo'; expected dw_min, "),
        ("[devise]\nclass = 'ConstantStep'", "configuration: unknown key 'devise'"),
        ("[build]\nlanes = 3", "device: expected a class or a preset, or a table [device]"),
        ("class = 'ConstantStep'\ndw_min = nan", "dw_min: expected a finite number"),
    ):
        path.write_text(text)
        assert line in fails("train", "--device", path)
    path.write_text("[build]\nlane = 3")
    assert "unknown key 'lane'" in fails("train", "--config", path)


def test_an_engine_that_cannot_start_gets_one_line(blobs, tmp_path, monkeypatch):
    def missing(*arguments):
        raise OhmgridError("rtl engine: expected a C++ compiler;\ninstall it")

    module = types.SimpleNamespace(Missing=missing)
    monkeypatch.setitem(sys.modules, "engine_for_tests", module)
    monkeypatch.setitem(engines.ENGINES, "rtl", "engine_for_tests:Missing")
    result = CliRunner().invoke(cli, ["train", "--data", blobs, *SMALL, "--engine", "rtl"])
    assert result.exit_code == 1
    assert result.stderr == "error: rtl engine: expected a C++ compiler; install it\n"


def test_devices_and_config_print_tables_and_objects():
    assert "gokmen-vlasov" in run("devices")[0]
    found = json.loads(run("devices", "--json")[0])["devices"]
    assert found["gokmen-vlasov"]["dw_min"] == 0.0016
    out, _ = run("config", "--lanes", "4", "--device", "ecram")
    config = parse_settings(out).config()
    assert config.build.lanes == 4
    assert json.loads(run("config", "--lanes", "4", "--json")[0])["build"]["lanes"] == 4

"""Weights as files: what goes out comes in again, and a wrong file gets one line."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from ohmgrid.cli import cli
from ohmgrid.config import Config
from ohmgrid.devices.presets import PRESETS
from ohmgrid.doors.checks import ConfigError
from ohmgrid.net import Net, state_sha256
from ohmgrid.training.runs import read_run
from ohmgrid.weights.csv import read_weights_csv, text_of
from ohmgrid.weights.layers import Layer, layer_sizes
from ohmgrid.weights.load import program, read_weights

SMALL = ("--layers", "16-6-3", "--epochs", "1", "--lr", "0.2")


def run(*words, status=0):
    done = CliRunner().invoke(cli, [str(word) for word in words])
    assert done.exit_code == status, (done.stdout, done.stderr, done.exception)
    return done


def json_of(*words):
    return json.loads(run(*words, "--json").stdout)


def line_of(*words):
    """Return the one line that a wrong command gets."""
    done = run(*words, status=1)
    (line,) = [one for one in done.stderr.splitlines() if one.startswith("error: ")]
    return line


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Return a function that trains a small net of a preset once."""
    folder, done = tmp_path_factory.mktemp("runs"), {}
    rng = np.random.default_rng(1)
    labels = np.arange(48) % 3
    images = (rng.random((48, 4, 4)) * 60).astype(np.uint8)
    for row in range(3):
        images[labels == row, row] += 190
    data = folder / "blobs.npz"
    np.savez(data, x=images, y=labels)

    def train(preset):
        if preset not in done:
            out = folder / preset
            run("train", "--data", data, *SMALL, "--device", preset, "--out", out)
            done[preset] = out, data
        return done[preset]

    return train


@pytest.mark.parametrize("preset", ["gokmen-vlasov", "reram-sb", "pcm"])
@pytest.mark.parametrize("form", ["npz", "csv"])
def test_weights_that_go_out_come_in_as_the_same_bits(preset, form, trained, tmp_path):
    folder, data = trained(preset)
    path = tmp_path / f"w.{form}"
    facts = json_of("export", folder, "--format", form, "--out", path)
    assert facts["shapes"] == [[6, 17], [3, 7]]
    done = read_run(folder)
    layers = read_weights(path, 1.0)
    for layer, weights in zip(layers, done.weights, strict=True):
        np.testing.assert_array_equal(layer.weights, weights)
    if preset == "pcm" and form == "csv":
        # A difference alone does not say what both devices hold.
        return
    states, notes = program(done.config, done.plan.net(), layers)
    for state, known in zip(states, done.states, strict=True):
        np.testing.assert_array_equal(state.weights, known.weights)
    assert notes == []
    tested = json_of(
        *("test", "--weights", path, "--data", data, "--device", preset, "--engine", "model")
    )
    assert tested["state_sha256"] == state_sha256(states)
    assert tested["layers"] == "16-6-3"


def test_conductances_are_those_of_the_devices(trained, tmp_path):
    for preset in ("ecram", "pcm"):
        folder, _ = trained(preset)
        path = tmp_path / f"{preset}.npz"
        run("export", folder, "--g-max", 40, "--out", path)
        done, unit = read_run(folder), PRESETS[preset].unit
        with np.load(path) as arrays:
            if preset == "ecram":
                place = (done.weights[0] - unit.w_min) / (unit.w_max - unit.w_min)
                np.testing.assert_allclose(arrays["conductance_0"], 40 * place)
                continue
            both = done.states[0].weights * done.lsb / unit.w_max * 40
            np.testing.assert_allclose(arrays["conductance_plus_0"], both[0::2])
            np.testing.assert_allclose(arrays["conductance_minus_0"], both[1::2])
            np.testing.assert_array_equal(arrays["plus_0"] - arrays["minus_0"], done.weights[0])


def test_the_form_of_a_chip_is_written_and_read(trained, tmp_path):
    folder, data = trained("gokmen-vlasov")
    path = tmp_path / "g.csv"
    run("export", folder, "--format", "csv", "--g-max", 40, "--out", path)
    weights = read_run(folder).weights
    lines = path.read_text().splitlines()
    assert lines[:6] == ["1,2", "AnalogLinear,AnalogLinear", "102,21", "6,3", "17,7", "0,1"]
    numbers = np.array([float(one) for one in lines[6].split(",")]).reshape(6, 17)
    np.testing.assert_allclose(numbers.max(axis=1), 40)
    largest = np.abs(weights[0]).max(axis=1, keepdims=True)
    np.testing.assert_allclose(numbers, np.abs(weights[0]) / largest * 40)
    # Magnitudes alone are told; with the original's signs and scales they are the weights again.
    words = ("test", "--weights", path, "--g-max", 40, "--data", data, "--engine", "model")
    done = run(*words)
    assert "layer 0 has magnitudes alone" in done.stderr
    layers = read_weights(path, 1.0, 40.0, folder)
    for layer, known in zip(layers, weights, strict=True):
        np.testing.assert_allclose(layer.weights, known, atol=1e-12)
    own = json_of("export", folder, "--out", tmp_path / "own.npz")
    again = json_of(*words, "--original", folder)
    assert own["config_sha256"] == again["config_sha256"]
    assert again["state_sha256"] == state_sha256(
        program(Config(), Net((16, 6, 3)), read_weights(tmp_path / "own.npz", 1.0))[0]
    )
    # A file becomes another without any run.
    run("export", path, "--g-max", 40, "--out", tmp_path / "other.npz")
    with np.load(tmp_path / "other.npz") as arrays:
        np.testing.assert_allclose(arrays["weights_0"], numbers / 40)


def test_a_pairs_conductances_have_signs(tmp_path):
    weights = np.array([[0.5, -0.25], [0.0, 1.0]])
    pair = np.maximum(weights, 0) + 0.25, np.maximum(-weights, 0) + 0.25
    path = tmp_path / "g.csv"
    path.write_text(text_of([Layer(weights, None, pair)], 2.0, 30.0))
    (layer,) = read_weights_csv(path, 2.0, 30.0)
    np.testing.assert_allclose(layer.weights, weights)
    assert layer.pair is not None
    np.testing.assert_allclose(layer.pair, pair)


def test_training_begins_with_the_weights_of_a_file_and_resumes(trained, tmp_path):
    folder, data = trained("gokmen-vlasov")
    file = tmp_path / "w.npz"
    run("export", folder, "--out", file)
    words = ("train", "--data", data, "--weights", file, "--lr", "0.2")
    whole = json_of(*words, "--epochs", 3, "--out", tmp_path / "a")
    assert whole["layers"] == "16-6-3"
    tested = json_of("test", "--data", data, "--weights", file, "--engine", "model")
    assert whole["epochs"][0]["test_accuracy"] == tested["accuracy"]
    json_of(*words, "--epochs", 1, "--out", tmp_path / "b")
    rest = ("train", "--resume", "--epochs", 3, "--out", tmp_path / "b")
    file.rename(tmp_path / "moved.npz")
    assert "weights: " in (line := line_of(*rest))
    assert "name its new place with --weights" in line
    other = json_of(*rest, "--weights", tmp_path / "moved.npz")
    assert other["state_sha256"] == whole["state_sha256"]
    assert other["bits_sha256"] == whole["bits_sha256"]
    (tmp_path / "moved.npz").unlink()
    run("export", tmp_path / "b", "--out", tmp_path / "moved.npz")
    line = line_of("train", "--resume", "--epochs", 4, "--out", tmp_path / "b", "--force")
    assert "expected --resume or --force" in line
    line = line_of("train", "--resume", "--epochs", 4, "--out", tmp_path / "b")
    assert "weights: expected those that the run began with, got others" in line


def test_scaled_and_pooled_data_resume_with_what_was_learned(fixed_rng, tmp_path):
    labels = np.arange(60) % 3
    x = fixed_rng.normal(100, 5, (60, 4, 4)) + 40 * (labels[:, None, None] == np.arange(4))
    np.savez(tmp_path / "d.npz", x=x, y=labels)
    words = ("train", "--data", tmp_path / "d.npz", "--scale", "standard", "--pool", 2)
    whole = json_of(*words, "--epochs", 3, "--out", tmp_path / "a")
    json_of(*words, "--epochs", 1, "--out", tmp_path / "b")
    learned = read_run(tmp_path / "b").preparation
    assert learned.scaling is not None
    assert abs(learned.scaling.offset[0] - x.reshape(60, 2, 2, 2, 2).mean()) < 3
    rest = json_of("train", "--resume", "--epochs", 3, "--out", tmp_path / "b")
    assert rest["state_sha256"] == whole["state_sha256"]
    assert read_run(tmp_path / "b").preparation == learned
    tested = json_of("test", tmp_path / "b", "--engine", "model")
    assert (tested["examples"], tested["state_sha256"]) == (12, whole["state_sha256"])
    # Other examples are scaled as the run's own were, not anew.
    np.savez(tmp_path / "one.npz", x=x[:5], y=labels[:5])
    some = json_of("test", tmp_path / "b", "--data", tmp_path / "one.npz", "--engine", "model")
    assert some["examples"] == 5
    line = line_of("train", "--resume", "--scale", "minmax", "--out", tmp_path / "b")
    assert "scale: expected 'standard', with which the run" in line


def test_a_test_counts_and_writes_what_it_finds(trained, tmp_path):
    folder, data = trained("gokmen-vlasov")
    out = tmp_path / "p.csv"
    words = ("test", folder, "--engine", "model", "--confusion", "--predictions", out)
    found = json_of(*words)
    table = np.array(found["confusion"])
    assert table.sum() == found["examples"] == 9
    assert found["accuracy"] == pytest.approx(np.trace(table) / 9)
    lines = [line.split(",") for line in out.read_text().splitlines()]
    assert lines[0] == ["example", "predicted", "label"]
    assert sum(line[1] == line[2] for line in lines[1:]) == np.trace(table)
    assert "which exists" in line_of(*words)
    assert "label, then how often" in run(*words, "--force").stdout
    with np.load(data) as arrays:
        np.savetxt(tmp_path / "bare.csv", arrays["x"].reshape(-1, 16), "%d", ",")
    bare = json_of("test", folder, "--data", tmp_path / "bare.csv", "--engine", "model")
    assert (bare["accuracy"], bare["examples"]) == (None, 48)
    line = line_of("test", folder, "--data", tmp_path / "bare.csv", "--confusion")
    assert "confusion: expected labels" in line
    for name in ("version", "seed", "config_sha256", "device_sha256"):
        assert bare[name] == found[name]


@pytest.mark.parametrize("engine", ["model", "compiled"])
def test_engines_find_the_same(engine, trained, tmp_path):
    folder, _ = trained("reram-sb")
    for name in (engine, "model"):
        run("test", folder, "--engine", name, "--predictions", tmp_path / f"{name}.csv", "--force")
    texts = [(tmp_path / f"{name}.csv").read_text() for name in (engine, "model")]
    assert texts[0] == texts[1]


def test_files_of_others_are_read(rng, tmp_path):
    arrays = {
        "fc1.weight": rng.normal(0, 0.2, (5, 4)).astype(np.float32),
        "fc1.bias": rng.normal(0, 0.2, 5).astype(np.float32),
        "fc2.weight": rng.normal(0, 0.2, (3, 5)),
    }
    np.savez(tmp_path / "net.npz", **arrays)
    layers = read_weights(tmp_path / "net.npz", 1.0)
    assert layer_sizes(layers, 4) == (4, 5, 3)
    states, notes = program(Config(), Net((4, 5, 3)), layers)
    lsb = 2.0**-16
    asked = np.column_stack([arrays["fc1.weight"], arrays["fc1.bias"]])
    near = np.abs(states[0].weights * lsb - asked) <= lsb
    # What is not there is beyond the bounds of its own device, and counted.
    lost = np.count_nonzero(~near)
    assert "weights: layer 1 has no bias; 0 is taken" in notes
    assert lost == 0 or any("are beyond the bounds" in note for note in notes)
    with pytest.raises(ConfigError, match="expected layer 0 with 7 inputs, or 8 columns"):
        layer_sizes(layers, 7)
    with pytest.raises(ConfigError, match=r"expected layer 1 of shape \(2, 6\)"):
        program(Config(), Net((4, 5, 2)), layers)
    with pytest.raises(ConfigError, match="expected 1 layers, as the net has, got 2"):
        program(Config(), Net((4, 5)), layers)


def npz(**arrays):
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


CHIP = "1\nAnalogLinear\n4\n2\n2\n0\n1,2,3,4\n"


@pytest.mark.parametrize(
    ("name", "content", "g_max", "line"),
    [
        ("w.npz", b"", None, "content: expected an .npz file"),
        ("w.npz", npz(a=np.zeros(3)), None, "expected the arrays weights_0"),
        ("w.npz", npz(weights_0=np.zeros(3)), None, "weights_0: expected 2 dimensions"),
        ("w.npz", npz(weights_0=np.full((2, 2), np.nan)), None, "weights_0: expected finite"),
        ("w.npz", npz(weights_0=np.zeros((2, 2)), bias_0=np.zeros(3)), None, "bias_0: expected 2"),
        (
            "w.npz",
            npz(weights_0=np.ones((2, 2)), plus_0=np.ones((2, 2)), minus_0=np.ones((2, 2))),
            None,
            "weights_0: expected the difference of plus and minus",
        ),
        (
            "w.npz",
            npz(weights_0=np.ones((2, 2)), plus_0=np.zeros((2, 2)), minus_0=-np.ones((2, 2))),
            None,
            "minus_0: expected numbers >= 0",
        ),
        ("w.csv", b"", None, "expected lines with id, class"),
        ("w.csv", b"\xff\xfe\x00", None, "not UTF-8"),
        ("w.csv", CHIP.replace("\n4\n", "\n5\n"), None, "line 3: expected height x width = 4"),
        ("w.csv", CHIP.replace("\n4\n", "\nx\n"), None, "line 3: expected a number of weights"),
        ("w.csv", CHIP.replace("\n2\n2\n", "\n2,2\n2\n"), None, "line 4: expected 1 fields"),
        ("w.csv", CHIP.replace("3,4", "3"), None, "line 7: expected 4 numbers, or 8 of pairs"),
        ("w.csv", CHIP.replace("3,4", "3,x"), None, "line 7: expected numbers"),
        ("w.csv", CHIP.replace("3,4", "3,nan"), None, "line 7: expected finite numbers"),
        (
            "w.csv",
            CHIP.replace("3,4", "3,40"),
            None,
            "the largest in microsiemens with --g-max",
        ),
        ("w.csv", CHIP, 3.0, r"line 7: expected conductances in 0\.\.3 \(--g-max\)"),
        ("w.csv", CHIP.replace("3,4", "3,-4"), 9.0, "line 7: expected conductances"),
        ("w.csv", CHIP + "1,2\n", None, "expected 1 lines of numbers, got 2"),
        ("w.csv", CHIP + '"', None, "expected lines of fields"),
        ("w.txt", b"", None, "weights: expected a run's folder, FILE.npz or FILE.csv"),
    ],
)
def test_a_wrong_file_gets_one_line(name, content, g_max, line, tmp_path):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ConfigError, match=line) as caught:
        read_weights(path, 1.0, g_max)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_wrong_command_gets_one_line(trained, tmp_path):
    folder, data = trained("gokmen-vlasov")
    for words, line in (
        (("test",), "weights: expected a run's folder, or --weights FILE, got neither"),
        (("test", folder, "--weights", folder), "weights: expected a run or --weights, got both"),
        (("test", folder, "--lr", "1"), "lr: expected without RUN"),
        (("test", tmp_path), "expected the checkpoint of a run"),
        (("test", folder, "--predictions", tmp_path / "a/b.csv"), "in an existing folder"),
        (("export", tmp_path), "expected the checkpoint of a run"),
        (("export", folder, "--format", "xls"), "format: expected one of npz, csv"),
        (("export", folder, "--g-max", "0"), "g-max: expected 1e-06"),
        (("export", folder, "--out", "w.txt"), "out: expected a file FILE.npz"),
        (("train", "--g-max", "40"), "g-max: expected with --weights only"),
        (("train", "--data", data, "--weights", tmp_path / "no.npz"), "cannot be read: No such"),
        (
            ("train", "--data", data, "--weights", folder, "--layers", "16-5-3"),
            "weights: expected layer 0 of shape",
        ),
    ):
        assert line in line_of(*words)


def test_the_folder_itself_is_never_written_over(trained):
    folder, _ = trained("gokmen-vlasov")
    assert run("export", folder).exit_code == 0
    assert "which exists" in line_of("export", folder)
    assert Path(folder, "weights.npz").exists()

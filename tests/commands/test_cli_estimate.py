"""``ohmgrid build BOARD --estimate``: tables, JSON, and what does not go together."""

import json
import re
from dataclasses import asdict

import pytest
import tomli_w
from click.testing import CliRunner
from tile_cases import BUILDS

from ohmgrid.cli import cli
from ohmgrid.config import Config
from ohmgrid.devices.presets import preset
from ohmgrid.model.core.core import run_order
from ohmgrid.net import Net
from ohmgrid.sim.rtl import RtlCore
from ohmgrid.training.data import load_data

SMALL = ("--layers", "16-6-3", "--positions", "40,0", "--examples", "4")
PARTS = ["take", "forward", "loss", "backward", "update", "answer"]


def estimate(*words: object) -> tuple[str, str]:
    """Return what is printed on stdout and on stderr."""
    result = CliRunner().invoke(cli, ["build", "ulx3s-85f", "--estimate", *map(str, words)])
    assert result.exit_code == 0, (result.stdout, result.stderr, result.exception)
    return result.stdout, result.stderr


def test_one_object_with_a_row_for_each_position(blobs, tmp_path):
    build = tmp_path / "build.toml"
    build.write_text("[build]\nlanes = 4\nshare = 2\ntrain_groups = 1\ntime = false\n")
    words = ("--data", blobs, *SMALL, "--config", build, "--clock", 50, "--turned", 1)
    found = json.loads(estimate(*words, "--json")[0])
    assert (found["lanes"], found["share"], found["train_groups"]) == (4, 2, 1)
    assert (found["layers"], found["device"], found["batch"]) == ("16-6-3", "gokmen-vlasov", 1)
    assert (found["turned"], found["freq_mhz"], found["left_out"]) == ([1], 50, [])
    assert [row["position"] for row in found["rows"]] == [0, 40]
    for row in found["rows"]:
        assert row["cycles"] == pytest.approx(sum(row[part] for part in PARTS))
        assert row["examples_per_s"] == pytest.approx(50e6 / row["cycles"])
        assert row["take"] == 0
        assert all(row[part] > 0 for part in PARTS[1:])

    # No clock changes a cycle; the examples of a mini-batch are taken one by one.
    other = json.loads(estimate(*words, "--json", "--clock", 100)[0])["rows"]
    batch = json.loads(estimate(*words, "--batch", 2, "--json")[0])["rows"]
    for row, fast, each in zip(found["rows"], other, batch, strict=True):
        assert fast["cycles"] == row["cycles"]
        assert fast["examples_per_s"] == pytest.approx(2 * row["examples_per_s"])
        assert each["take"] > 16


def test_a_table_that_says_what_it_is_of(blobs, tmp_path):
    build = tmp_path / "build.toml"
    build.write_text("[build]\ncurve = true\nreferences = true\ntime = true\nread_physics = true\n")
    stdout, _ = estimate("--data", blobs, *SMALL, "--device", "pcm", "--config", build)
    head, first, second, *notes = stdout.splitlines()
    assert head.split() == ["after", *PARTS, "all", "examples/s"]
    assert (first.split()[0], second.split()[0]) == ("0", "40")
    text = " ".join(notes)
    assert "16-6-3, pcm, mini-batches of 1" in text
    assert "80 MHz, as it is built for: whether place and route reaches it is not" in text
    assert "not modelled   refreshes of pairs, every 1 updates of an array; the link" in text


def test_cycles_with_transfers_are_those_that_the_gateware_counts(blobs, tmp_path):
    file, device = tmp_path / "build.toml", "ttv2-reram-es"
    build = {key: value for key, value in asdict(BUILDS[4]).items() if value is not None}
    file.write_text(tomli_w.dumps({"build": build}))
    words = ("--data", blobs, "--layers", "16-6-3", "--device", device, "--config", file)
    words += ("--positions", 0, "--examples", 4, "--lr", 0.2)
    found = json.loads(estimate(*words, "--json")[0])
    assert (found["counted_by"], found["left_out"]) == ("simulated gateware", [])
    assert "counted by the gateware itself, simulated" in estimate(*words)[0]
    (row,) = found["rows"]

    core = RtlCore(Config(device=preset(device), build=BUILDS[4]), Net((16, 6, 3)))
    formats = Config().formats
    data = load_data(str(blobs), formats.x_frac, formats.edge_bits)
    order = run_order(core.config.seed, len(data.train_labels), 6)[1:]
    core.initialise()
    for part in (order[:1], order[1:]):
        core.train(data.train_x[part], data.train_labels[part], 0.2)
    assert row["cycles"] == core.cycles / 4
    assert row["update"] == sum(core.meters["cycles_update"]) / 4


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--seeds", "2"], "seeds: expected none with --estimate, got 2"),
        (["--positions", "0,x"], "positions: expected an integer, got 'x'"),
        (["--positions", "-1"], "positions: expected .*, got -1"),
        (
            ["--batch", "3", "--positions", "0,7"],
            "positions: expected whole mini-batches of 3 examples, got 7",
        ),
        (["--examples", "0"], "examples: expected .*, got 0"),
        (["--clock", "1000"], "clock: expected a clock that the PLL makes .*, got 1000 MHz"),
        (
            [
                "--device",
                "mixed-precision-gokmen-vlasov",
                "--data",
                "digits",
                "--layers",
                "64-9-10",
            ],
            "device: expected one array for each weight, or a build .*, got class MixedPrecision",
        ),
        (["--device", "nix"], "device: expected one of .*, got 'nix'"),
        (
            ["--data", "digits", "--layers", "3-2"],
            "layers: expected 64 inputs for digits .*, got 3",
        ),
    ],
)
def test_what_does_not_go_together_is_one_line(words, line):
    result = CliRunner().invoke(cli, ["build", "ulx3s-85f", "--estimate", *words])
    assert result.exit_code == 1
    assert result.stdout == ""
    (found,) = result.stderr.splitlines()
    assert re.fullmatch(f"error: {line}.*", found), found

"""``ohmgrid synth --estimate``: tables, JSON, and what does not go together."""

import json
import re

import pytest
from click.testing import CliRunner

from ohmgrid.cli import cli

SMALL = ("--layers", "16-6-3", "--positions", "40,0", "--examples", "4")
PARTS = ["take", "forward", "loss", "backward", "update", "answer"]


def estimate(*words: object) -> tuple[str, str]:
    """Return what is printed on stdout and on stderr."""
    result = CliRunner().invoke(cli, ["synth", "--estimate", *map(str, words)])
    assert result.exit_code == 0, (result.stdout, result.stderr, result.exception)
    return result.stdout, result.stderr


def test_one_object_with_a_row_for_each_position(blobs, tmp_path):
    build = tmp_path / "build.toml"
    build.write_text("[build]\nlanes = 4\nshare = 2\ntrain_groups = 1\ntime = false\n")
    words = ("--data", blobs, *SMALL, "--config", build, "--freq", 50, "--turned", 1)
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
    other = json.loads(estimate(*words, "--json", "--freq", 100)[0])["rows"]
    batch = json.loads(estimate(*words, "--batch", 2, "--json")[0])["rows"]
    for row, fast, each in zip(found["rows"], other, batch, strict=True):
        assert fast["cycles"] == row["cycles"]
        assert fast["examples_per_s"] == pytest.approx(2 * row["examples_per_s"])
        assert each["take"] > 16


def test_a_table_that_says_what_it_is_of(blobs):
    stdout, _ = estimate("--data", blobs, *SMALL, "--device", "pcm")
    head, first, second, *notes = stdout.splitlines()
    assert head.split() == ["after", *PARTS, "all", "examples/s"]
    assert (first.split()[0], second.split()[0]) == ("0", "40")
    text = " ".join(notes)
    assert "16-6-3, pcm, mini-batches of 1" in text
    assert "100 MHz, as --freq says: what a board reaches is not estimated here" in text
    assert "not modelled   refreshes of pairs, every 1 updates of an array; the link" in text


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--estimate", "--pnr"], "pnr: expected none with --estimate, got True"),
        (
            ["array.Lane", "--estimate"],
            "component: expected none with --estimate, got 'array.Lane'",
        ),
        (["array.Lane", "--data", "digits"], "data: expected with --estimate only, got 'digits'"),
        (["array.Lane", "--positions", "1"], "positions: expected with --estimate only, got '1'"),
        (["array.Lane", "--device", "pcm"], "device: expected one of 25k, 45k, .*, got 'pcm'"),
        ([], "component: expected one, as in `array.Lane`, or --estimate, got none"),
        (["--estimate", "--positions", "0,x"], "positions: expected an integer, got 'x'"),
        (["--estimate", "--positions", "-1"], "positions: expected .*, got -1"),
        (
            ["--estimate", "--batch", "3", "--positions", "0,7"],
            "positions: expected whole mini-batches of 3 examples, got 7",
        ),
        (["--estimate", "--examples", "0"], "examples: expected .*, got 0"),
        (["--estimate", "--freq", "0"], "freq: expected .*, got 0"),
        (["--estimate", "--device", "nix"], "device: expected one of .*, got 'nix'"),
        (["--estimate", "--layers", "3-2"], "layers: expected 64 inputs for digits .*, got 3"),
    ],
)
def test_what_does_not_go_together_is_one_line(words, line):
    result = CliRunner().invoke(cli, ["synth", *words])
    assert result.exit_code == 1
    assert result.stdout == ""
    (found,) = result.stderr.splitlines()
    assert re.fullmatch(f"error: {line}.*", found), found

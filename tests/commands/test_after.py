"""``ohmgrid test RUN --after`` as people run it."""

import json

import pytest
from click.testing import CliRunner

from ohmgrid.cli import cli
from ohmgrid.commands.after import shown_gains
from ohmgrid.commands.test import test as command
from ohmgrid.doors.checks import ConfigError


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Return the folder of a short run."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    words = ["train", "--layers", "64-8-10", "--epochs", "1", "--out", str(folder)]
    result = CliRunner().invoke(cli, words, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return folder


def said(*words) -> dict:
    result = CliRunner().invoke(cli, ["test", *map(str, words), "--json"], catch_exceptions=False)
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def test_a_run_ages(run):
    found = said(run, "--after", "1y,0", "--repeats", 2)
    plain = said(run)
    for name in ("seed", "config_sha256", "device_sha256", "examples", "data", "layers"):
        assert found[name] == plain[name]
    # The weights themselves, on devices that hold them.
    assert found["exact"] == plain["accuracy"]
    assert [row["after"] for row in found["rows"]] == ["0", "1y"]
    now, late = found["rows"]
    assert now["accuracy"] == now["compensated"]
    assert now["gains"] == [1.0, 1.0]
    assert min(late["gains"]) > 1.5
    assert 0 <= late["accuracy_error"] < 0.5
    assert (run / "retention.png").read_bytes().startswith(b"\x89PNG")
    assert found["picture"] == str(run / "retention.png")
    assert said(run, "--after", "0,1y", "--repeats", 2, "--force") == found


def test_options_change_what_they_say(run):
    words = (run, "--after", "1d", "--repeats", 1)
    first = said(*words, "--seed", 2)
    assert first["seed"] == 2
    assert first["rows"][0]["accuracy_error"] is None
    assert first["picture"] == str(run / "retention-2.png")
    other = said(*words, "--seed", 2, "--noise-model", "state-independent", "--g-max", 40)
    assert (other["noise_model"], other["g_max"]) == ("state-independent", 40.0)
    assert other["rows"] != first["rows"]
    assert other["exact"] == first["exact"]


def test_gains_of_many_layers_are_a_range():
    assert shown_gains([1.0, 1.25, 1.5, 2.0]) == "1.00 1.25 1.50 2.00"
    assert shown_gains([1.5, 1.0, 1.25, 2.0, 1.75]) == "1.00 to 2.00"


def test_the_table_fits(run):
    words = ["test", str(run), "--after", "0,25s,1h,1d,1mo,1y", "--repeats", "2"]
    result = CliRunner().invoke(cli, words, catch_exceptions=False)
    assert result.exit_code == 0, result.stderr
    table, _, rest = result.stdout.partition("engine")
    lines = table.splitlines()
    assert lines[0].split() == ["after", "without", "with", "compensation", "gains"]
    assert [line.split()[0] for line in lines[1:]] == ["0", "25s", "1h", "1d", "1mo", "1y"]
    assert max(map(len, lines)) <= 80
    assert "pcm, 25 uS, programmed 2 x" in rest


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("RUN", "--after", "soon"), "after: expected times such as .*, got 'soon'"),
        (("RUN", "--after", ""), "after: expected times such as"),
        (("--after", "1h"), "after: expected a RUN"),
        (("RUN", "--after", "1h", "--confusion"), "after: expected a RUN, without --confusion"),
        (("RUN", "--after", "1h", "--predictions", "p.csv"), "after: expected a RUN, without"),
        (("RUN", "--after", "1h", "--repeats", "0"), "repeats: expected 1..1000, got 0"),
        (("RUN", "--after", "1h", "--noise-model", "x"), "noise-model: expected one of pcm, "),
        (("RUN", "--after", "1h", "--g-max", "0"), "g-max: expected"),
        (("RUN", "--after", "1h", "--layers", "4-2"), "layers: expected without RUN"),
        (("RUN", "--repeats", "2"), "repeats: expected with --after only"),
        (("RUN", "--noise-model", "pcm"), "noise-model: expected with --after only"),
        (("RUN", "--seed", "2"), "seed: expected without RUN"),
    ],
)
def test_wrong_options_get_a_line(run, words, line):
    given = [str(run) if word == "RUN" else word for word in words]
    with pytest.raises(ConfigError, match=line):
        CliRunner().invoke(command, given, catch_exceptions=False)


def test_examples_without_labels_are_refused(run, tmp_path):
    path = tmp_path / "bare.csv"
    path.write_text("\n".join([",".join(["0.5"] * 64)] * 3) + "\n")
    words = [str(run), "--after", "1h", "--data", str(path)]
    with pytest.raises(ConfigError, match=r"after: expected labels in .*, found none"):
        CliRunner().invoke(command, words, catch_exceptions=False)

"""``ohmgrid energy`` as people run it."""

import json

import pytest
from click.testing import CliRunner

from ohmgrid.cli import cli
from ohmgrid.commands import energy as command
from ohmgrid.doors.checks import ConfigError


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Return the folder of a short run."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    words = ["train", "--layers", "64-8-10", "--epochs", "1", "--out", str(folder)]
    words += ["--device", "ttv2-reram-es"]
    result = CliRunner().invoke(cli, words, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return folder


def test_a_run_is_added_up(run):
    result = CliRunner().invoke(cli, ["energy", str(run), "--json"], catch_exceptions=False)
    assert result.exit_code == 0, result.stderr
    said = json.loads(result.stdout)
    metrics = json.loads((run / "metrics.json").read_text())
    pulses = metrics["counters"]["pulses_up"] + metrics["counters"]["pulses_down"]
    examples = sum(row["examples"] for row in metrics["epochs"])
    rows = {row["name"]: row for row in said["rows"]}
    moved = metrics["transfers"]
    assert moved["columns_read"] == [examples, examples]
    assert min(moved["slow_pulses"]) > 0
    pulses += moved["slow_pulses"]
    assert rows["coincidence"]["count"] == pytest.approx(sum(pulses) / examples)
    # Nothing else passes more often than once.
    assert rows["function"]["count"] == pytest.approx(8 + 10 + 8 + 8 + 10)
    assert said["nj_an_example"] == pytest.approx(sum(row["nj"] or 0 for row in said["rows"]))
    assert set(said["unknown"]) == {row["name"] for row in said["rows"] if row["nj"] is None}
    assert said["epoch_examples"] == metrics["epochs"][1]["examples"]
    table = CliRunner().invoke(cli, ["energy", str(run)], catch_exceptions=False).stdout
    for word in ("at least", "unknown", "28,065 GOP/s/W", "this machine"):
        assert word in table


def test_a_processor_is_measured_by_training(run, tmp_path, monkeypatch):
    meter = tmp_path / "intel-rapl:0"
    meter.mkdir()
    (meter / "energy_uj").write_text("0\n")
    (meter / "max_energy_range_uj").write_text("1000000\n")
    monkeypatch.setattr(command, "packages", lambda: [meter])
    monkeypatch.setattr(command, "MEASURED_S", 0.01)
    said = CliRunner().invoke(cli, ["energy", str(run), "--json"], catch_exceptions=False).stdout
    (processor,) = json.loads(said)["beside"]
    # The meter stood still.
    assert processor["joules"] == 0
    assert "compiled engine" in processor["said"]


def test_an_fpga_is_what_its_report_says(tmp_path):
    training = {"net": "64-8-10", "examples_per_s": 20_000.0}
    report = {"title": "A board", "clock_mhz": 80.0, "training": training}
    (tmp_path / "report.json").write_text(json.dumps(report))
    words = ["energy", "--layers", "64-8-10", "--build", str(tmp_path), "--watts", "2", "--json"]
    said = json.loads(CliRunner().invoke(cli, words, catch_exceptions=False).stdout)
    assert said["beside"][1]["joules"] == pytest.approx(1e-4)
    assert said["epoch_examples"] is None
    (tmp_path / "report.json").write_text(json.dumps(report | {"training": {}}))
    with pytest.raises(ConfigError, match="expected the report of a net at a clock that is met"):
        CliRunner().invoke(command.energy, words[1:], catch_exceptions=False)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ((), "expected a RUN or --layers, one of them"),
        (("--layers", "64-10", "--watts", "3"), "expected --build FOLDER and --watts W together"),
        (("--layers", "64-10", "--examples", "0"), "examples"),
        (("--layers", "64"), "layers"),
        (("--layers", "64-10", "--bit-length", "128"), "bit-length"),
    ],
)
def test_wrong_options_get_a_line(words, line):
    with pytest.raises(ConfigError, match=line):
        CliRunner().invoke(command.energy, words, catch_exceptions=False)

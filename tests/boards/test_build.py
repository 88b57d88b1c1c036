"""``ohmgrid build`` with tools of a test's own: steps done once, clocks missed, results kept."""

import json
import re
import stat
import sys
from pathlib import Path

import pytest
from boards_echo import Echo
from click.testing import CliRunner

from ohmgrid.boards import top
from ohmgrid.boards.results import load_results, table
from ohmgrid.cli import cli
from ohmgrid.tools import toolchain

SCRIPT = """#!{python}
import json, pathlib, re, sys
words = sys.argv[1:]
if words == ["-V"] or words == ["--version"]:
    print("{name} 1.0")
    sys.exit()
with open("{calls}", "a") as calls:
    print("{name}", file=calls)
def after(option):
    return words[words.index(option) + 1]
if "{name}" == "yosys":
    made = re.search(r"-json (\\S+)", words[-1])[1]
    text = pathlib.Path("top.il").read_text()[:1000]
    pathlib.Path(made).write_text(json.dumps({{"creator": text, "modules": {{}}}}))
elif "{name}" == "nextpnr-ecp5":
    seed = int(after("--seed"))
    pathlib.Path(after("--textcfg")).write_text("placed with " + str(seed))
    path = [
        {{"type": "clk-to-q", "delay": 0.5, "from": {{"cell": "core.a_TRELLIS_FF_Q"}},
          "to": {{"cell": "core.a_TRELLIS_FF_Q"}}}},
        {{"type": "routing", "delay": 4.0, "from": {{"cell": "core.a"}},
          "to": {{"cell": "core.b"}}}},
        {{"type": "logic", "delay": 3.0, "from": {{"cell": "core.b"}},
          "to": {{"cell": "core.b"}}}},
    ]
    pathlib.Path(after("--report")).write_text(json.dumps({{
        "fmax": {{"clk": {{"achieved": 70.0 + 4 * seed, "constraint": 80.0}}}},
        "utilization": {{"TRELLIS_COMB": {{"used": 1000, "available": 24288}},
                         "DP16KD": {{"used": 3, "available": 56}}}},
        "critical_paths": [{{"from": "posedge clk", "to": "posedge clk", "path": path}}],
    }}))
else:
    pathlib.Path(after("--bit")).write_text(pathlib.Path(after("--input")).read_text())
"""


@pytest.fixture
def tools(tmp_path, monkeypatch):
    """Put tools on the path that do nothing but write files; return the list of their calls."""
    monkeypatch.setattr(top, "LinkedCore", Echo)
    calls = tmp_path / "calls"
    for name in ("yosys", "nextpnr-ecp5", "ecppack"):
        path = tmp_path / name
        path.write_text(SCRIPT.format(python=sys.executable, name=name, calls=calls))
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv(name.upper().replace("-", "_"), str(path))
    toolchain.find.cache_clear()
    yield lambda: calls.read_text().split() if calls.exists() else []
    toolchain.find.cache_clear()


def build(folder: Path, *words: object) -> tuple[int, dict | None, str]:
    """Return status, what was printed as JSON, and stderr."""
    common = ("--out", folder, "--layers", "64-4-10", "--json")
    result = CliRunner().invoke(cli, ["build", "ulx3s-25f", *map(str, (*common, *words))])
    said = json.loads(result.stdout) if result.stdout else None
    return result.exit_code, said, result.stderr


def test_what_is_built_is_built_once(tools, tmp_path):
    folder = tmp_path / "out"
    status, said, _ = build(folder, "--seeds", 3, "--jobs", 1)
    assert status == 0
    assert said is not None
    assert said["seeds"] == {"1": 74.0, "2": 78.0, "3": 82.0}
    assert (said["fmax_mhz"], said["fmax_median_mhz"], said["met"]) == (82.0, 78.0, True)
    assert said["used"]["lut4"] == 1000
    training = said["training"]
    assert training["examples_per_s"] == pytest.approx(80e6 / training["cycles"], abs=0.1)
    assert said["examples_per_s"] == training["examples_per_s"]
    assert said["cycles_per_example"] == training["cycles"]
    # The link brings more of them zero-run coded than as they are.
    assert training["fed_per_s"]["uart runs"] > training["fed_per_s"]["uart raw"] > 0
    assert (folder / "top.bit").read_text() == "placed with 3"
    assert json.loads((folder / "report.json").read_text())["bitstream"] == "top.bit"
    assert "[build]" in (folder / "board.toml").read_text()
    first = ["yosys", *["nextpnr-ecp5"] * 3, "ecppack"]
    assert tools() == first
    # The same again: nothing is run; one seed more: that one alone.
    assert build(folder, "--seeds", 3)[1] == said
    assert tools() == first
    build(folder, "--seeds", 4)
    assert tools() == [*first, "nextpnr-ecp5", "ecppack"]
    # A file that was touched is made again, and what depends on it only if it came out another one.
    (folder / "top.json").write_text("broken")
    build(folder, "--seeds", 4)
    assert tools() == [*first, "nextpnr-ecp5", "ecppack", "yosys"]


def test_a_clock_that_is_missed_leaves_no_bitstream(tools, tmp_path):
    folder = tmp_path / "out"
    assert build(folder, "--seeds", 3)[0] == 0
    assert (folder / "top.bit").exists()
    status, said, stderr = build(folder, "--seeds", 2)
    assert status == 1
    assert said is not None
    assert (said["met"], said["bitstream"]) == (False, None)
    assert not (folder / "top.bit").exists()
    assert "ulx3s-25f: expected 80 MHz, reached 78 (the best of 2 seeds); no bitstream" in stderr
    assert "critical path core.a -> core.b, 3.5 ns logic and 4 ns routing" in stderr
    assert build(folder, "--seeds", 2, "--clock", 75)[0] == 0


def test_a_tool_that_fails_leaves_no_bitstream_of_an_earlier_build(tools, tmp_path, monkeypatch):
    folder = tmp_path / "out"
    assert build(folder, "--seeds", 3)[0] == 0
    assert (folder / "top.bit").exists()
    failing = tmp_path / "fails"
    failing.write_text("#!/bin/sh\necho no place >&2\nexit 3\n")
    failing.chmod(0o755)
    monkeypatch.setenv("NEXTPNR_ECP5", str(failing))
    toolchain.find.cache_clear()
    status, _, stderr = build(folder, "--seeds", 3)
    assert status == 1
    assert "no place" in stderr
    assert not (folder / "top.bit").exists()
    assert not (folder / "report.json").exists()


def test_results_are_recorded_and_make_the_table(tools, tmp_path):
    kept = tmp_path / "results"
    build(tmp_path / "out", "--seeds", 2, "--record", kept)
    build(tmp_path / "out", "--seeds", 4, "--record", kept)
    (one,) = load_results(kept)
    assert (one.fmax_mhz, one.met, one.lut4) == (86.0, True, (1000, 24288))
    assert (tmp_path / "RESULTS.md").read_text() == table([one])
    assert "| 80; 80 / 86 (4) |" in table([one])
    build(tmp_path / "out", "--seeds", 1, "--record", kept)
    (one,) = load_results(kept)
    assert (one.met, one.examples_per_s) == (False, None)
    assert "**missed**" in (tmp_path / "RESULTS.md").read_text()


def test_the_committed_table_is_that_of_the_committed_results():
    folder = Path(top.__file__).parent
    assert (folder / "RESULTS.md").read_text() == table(load_results())


def test_estimate_and_build_do_not_mix(tools, tmp_path):
    for words, line in (
        (("--estimate", "--seeds", 2), "seeds: expected none with --estimate, got 2"),
        (("--positions", "3"), "positions: expected with --estimate only, got 3"),
        (("--seeds", 0), "seeds: expected 1..64, got 0"),
        (("--clock", 900), "clock: expected a clock that the PLL makes of 25 MHz.*"),
    ):
        result = CliRunner().invoke(cli, ["build", "ulx3s-25f", *map(str, words)])
        assert result.exit_code != 0
        text = result.stderr or str(result.exception)
        assert re.search(line, text), text
    assert tools() == []

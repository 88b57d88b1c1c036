"""``ohmgrid verilog``: a file that a Verilog simulator reads, and the ports that it says."""

import json
import re

import pytest
from click.testing import CliRunner, Result

from ohmgrid.cli import cli


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Return what runs the verb in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def call(*words: str) -> Result:
        return CliRunner().invoke(cli, ["verilog", *words])

    return call


def test_ports_that_are_listed_are_those_of_the_file(run, tmp_path):
    done = run("base.Divider", "--name", "quotient", "--json")
    assert done.exit_code == 0, done.stderr
    found = json.loads(done.stdout)
    text = (tmp_path / found["file"]).read_text()
    [head] = re.findall(r"^module quotient\((.*?)\);", text, re.MULTILINE | re.DOTALL)
    names = {name.strip() for name in head.split(",")}
    assert names == {*(row["port"] for row in found["ports"]), "clk", "rst"}
    for row in found["ports"]:
        width = f"[{row['bits'] - 1}:0] " if row["bits"] > 1 else ""
        assert f"  {row['direction']} {width}{row['port']};" in text
    again = run("base.Divider")
    assert "expected a new file" in again.stderr
    assert run("base.Divider", "--force").stdout.startswith("base.Divider as module")


@pytest.mark.slow
def test_core_has_room_for_a_net(run, tmp_path):
    words = ("--lanes", "2", "--layers", "4-3-2")
    done = run(*words)
    assert done.exit_code == 0, done.stderr
    assert "input  cmd__payload           80 bits" in done.stdout
    assert "module ohmgrid(" in (tmp_path / "ohmgrid.v").read_text()


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("base.Divider", "--name", "2x"), "error: name: expected a Verilog identifier, got '2x'"),
        (("nothing",), "error: "),
        (("--lanes", "0"), "error: lanes: expected 1..1024, got 0"),
        (("--layers", "4"), "error: layers: "),
    ],
)
def test_what_is_wrong_is_one_line_and_writes_nothing(run, words, text, tmp_path):
    done = run(*words)
    assert done.exit_code != 0
    assert done.stderr.startswith(text)
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())

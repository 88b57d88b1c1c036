"""``ohmgrid study asymmetry``: a table, a file to go on from, and wrong input in one line."""

import json

from click.testing import CliRunner

from ohmgrid.cli import cli


def run(*words: object) -> str:
    result = CliRunner().invoke(cli, [str(word) for word in words])
    assert result.exit_code == 0, (result.stdout, result.stderr, result.exception)
    return result.stdout


def fail(*words: object) -> str:
    result = CliRunner().invoke(cli, [str(word) for word in words])
    assert result.exit_code != 0
    (line,) = result.stderr.splitlines()
    return line


def test_it_tells_accuracies_and_keeps_its_runs(tmp_path):
    args = (
        *("study", "asymmetry", "--asymmetry", "0,0.4", "--leak", "0", "--seeds", "1"),
        *("--epochs", "1", "--layers", "64-4-10", "--methods", "plain,agad", "--out", tmp_path),
    )
    rows = json.loads(run(*args, "--json"))["rows"]
    assert [(row["method"], row["asymmetry"]) for row in rows] == [
        ("plain", 0.0),
        ("agad", 0.0),
        ("plain", 0.4),
        ("agad", 0.4),
    ]
    table = (tmp_path / "asymmetry.csv").read_text()
    assert len(table.splitlines()) == 5
    assert (tmp_path / "asymmetry.png").read_bytes().startswith(b"\x89PNG")
    text = run(*args)
    assert (tmp_path / "asymmetry.csv").read_text() == table
    for row in rows:
        assert f"{100 * row['mean']:.1f}" in text


def test_wrong_input_gets_one_line():
    assert "asymmetry: expected a number, got 'x'" in fail("study", "asymmetry", "--asymmetry", "x")
    assert "methods: expected one of plain" in fail("study", "asymmetry", "--methods", "nothing")

"""``ohmgrid board``: what it refuses, and what it prints of a board that only pretends."""

import json
import threading
from pathlib import Path

import pytest
from click.testing import CliRunner

from ohmgrid.cli import cli
from ohmgrid.config import BuildConfig, Config
from ohmgrid.gateware import check as check_module
from ohmgrid.studies.paced_board import PacedBoard


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["serve"], "virtual: expected --virtual: a board of yours needs nobody to serve it"),
        (["serve", "--virtual", "--name", "HERE"], "name: HERE: expected a new name, got one that"),
        (["check", "rtl"], "port: expected a port such as /dev/ttyUSB0, got 'rtl'"),
        (["check", "/dev/ttyNONE7"], "/dev/ttyNONE7: no such port; there are: "),
        (["check", "/dev/ttyNONE7@x"], "engine: expected PORT@BAUD with bits a second"),
        (["check", "/dev/ttyUSB0", "--steps", "0"], "steps: expected 1..1000000, got 0"),
    ],
)
def test_what_cannot_be_gets_a_line(arguments, line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("HERE").write_text("")
    done = CliRunner().invoke(cli, ["board", *arguments])
    assert done.exit_code == 1
    assert done.stderr.startswith(f"error: {line}")


def test_a_board_that_learns_nothing_fails_its_check(monkeypatch):
    """Table and JSON say what differs first; the exit status is 1."""
    monkeypatch.setattr(check_module, "SPEED_S", 0.1)
    # Far more than the line's buffers take at once, on a line a tenth of what the core could use.
    monkeypatch.setattr(check_module, "FILL", 1000)
    board = PacedBoard(Config(build=BuildConfig(lanes=4, words=64)), 400_000)
    stop = threading.Event()
    thread = threading.Thread(target=board.serve, args=(stop.is_set,), daemon=True)
    thread.start()
    try:
        said = CliRunner().invoke(cli, ["board", "check", board.port, "--steps", "30"])
        found = CliRunner().invoke(cli, ["board", "check", board.port, "--steps", "30", "--json"])
    finally:
        stop.set()
        thread.join()
        board.close()
    assert said.exit_code == found.exit_code == 1
    assert "DIFFERENT: hits and loss by step 25" in said.output
    assert "256 cells written and read twice, all right" in said.output
    result = json.loads(found.stdout)
    assert not result["equal"]
    assert result["memory"] == {"cells": 256, "wrong": 0, "first": ""}
    assert (result["steps"], result["limit"]) == (25, "link")

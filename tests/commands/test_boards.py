"""``ohmgrid boards``: every board, and what it was measured at."""

import json

from click.testing import CliRunner

from ohmgrid.boards.board_file import board_names
from ohmgrid.boards.results import load_results
from ohmgrid.cli import cli


def test_every_board_is_listed_with_its_results():
    found = json.loads(CliRunner().invoke(cli, ["boards", "--json"]).stdout)["boards"]
    assert [one["board"] for one in found] == board_names()
    assert sum(len(one["results"]) for one in found) == len(load_results())
    assert {one["open_tools"] for one in found if one["family"] == "xilinx"} == {False}
    text = CliRunner().invoke(cli, ["boards"]).stdout
    for name in board_names():
        assert name in text

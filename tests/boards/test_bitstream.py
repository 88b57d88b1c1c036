"""A whole bitstream, link included, with the tools of PyPI: synthesis, place and route, packing."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from ohmgrid.boards import top
from ohmgrid.boards.loading import IDS, bitstream_id
from ohmgrid.cli import cli
from ohmgrid.training.settings import load_settings

SETTINGS = Path(top.__file__).parent / "settings" / "one-lane.toml"


@pytest.mark.slow
def test_a_trainer_of_digits_with_one_lane_becomes_a_bitstream(tmp_path):
    out = tmp_path / "out"
    words = ["build", "ulx3s-45f", "--config", SETTINGS, "--clock", 25, "--out", out, "--json"]
    result = CliRunner().invoke(cli, [*map(str, words)])
    assert result.exit_code == 0, (result.stderr, result.exception)
    said = json.loads(result.stdout)
    assert said["met"] is True
    assert said["lanes"] == 1
    assert bitstream_id(out / "top.bit") == IDS["LFE5U-45F"]
    # What the host needs: the build of the bitstream, and the net.
    settings = load_settings(out / "board.toml")
    assert settings.config().build.words == 4096
    assert settings.plan().layers == "64-32-10"

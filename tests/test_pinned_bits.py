"""Bits as they are recorded: of all registers and tables, of training, of the README's run."""

import json
import re
from pathlib import Path

import pytest
from pinned_bits import RECORD, TRAINED, register_digests, training_digest

from ohmgrid.config import Config
from ohmgrid.engines import close_tiles, make_tiles
from ohmgrid.training.data import load_data
from ohmgrid.training.session import Plan, Session

CHANGED = "bits differ from those recorded: CONTRIBUTING.md says when to record them anew"
RECORDED = json.loads(RECORD.read_text())


def test_registers_and_tables_are_those_recorded():
    assert register_digests() == RECORDED["registers"], CHANGED


@pytest.mark.parametrize("engine", ["model", "compiled"])
@pytest.mark.parametrize("name", TRAINED)
def test_training_ends_in_the_recorded_bits(name, engine):
    assert training_digest(name, engine) == RECORDED["training"][name], CHANGED


@pytest.mark.slow
def test_the_readmes_run_ends_in_the_readmes_hash():
    readme = (Path(__file__).parents[1] / "README.md").read_text()
    wanted = re.search(r"state_sha256 +([0-9a-f]{64})", readme)
    assert wanted is not None
    config, plan = Config(), Plan(epochs=10)
    data = load_data(plan.data, config.formats.x_frac, config.formats.edge_bits)
    tiles = make_tiles("compiled", config, plan.net().shapes)
    try:
        session = Session(config, plan, data, tiles)
        session.start()
        session.run(lambda: False, lambda progress: None, lambda row: None)
        assert session.state_sha256 == wanted[1], CHANGED
    finally:
        close_tiles(tiles)

"""How long verbs take: a table that says when one takes longer than it did."""

import numpy as np
import pytest
from tile_cases import BUILDS

from ohmgrid.config import Config, LayoutConfig
from ohmgrid.devices.presets import PRESETS
from ohmgrid.sim.rtl import RtlTile

CYCLES = {
    ("gokmen-vlasov", False): (168, 160, 462),
    ("gokmen-vlasov", True): (161, 157, 421),
    ("reram-array-om", False): (168, 160, 366),
    ("reram-array-om", True): (161, 157, 360),
    ("pcm", False): (189, 179, 1527),
    ("pcm", True): (169, 179, 1861),
}
"""Device and whether the array is turned: cycles of forward, backward and update."""


@pytest.mark.parametrize(("name", "turned"), CYCLES)
def test_verbs_take_the_cycles_that_they_took(name, turned):
    """Vectors and commands included; of the second round, when the array is at work already."""
    layout = LayoutConfig((0,) if turned else ())
    config = Config(seed=3, build=BUILDS[4], device=PRESETS[name], layout=layout)
    tile, rng = RtlTile(config, 7, 11), np.random.default_rng(5)
    found = []
    for _ in range(2):
        x, d = rng.integers(-4096, 4097, 11), rng.integers(-9000, 9001, 7)
        x[::2] = 0
        found = []
        for verb, values in (("forward", (x,)), ("backward", (d,)), ("update", (x, d, 0.02))):
            getattr(tile, verb)(*values)
            found.append(tile.cycles)
    assert tuple(found) == CYCLES[name, turned]

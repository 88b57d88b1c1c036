"""Mixed precision on a core: its array's pulses and passes there equal the golden model's."""

import numpy as np
from gateware_alike import tile_alike, trained_alike
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import mixed_precisions
from tile_cases import BUILDS, COLS, ROWS, SEEDS, configs, suits

from ohmgrid.gateware.mixed import GatewareMixedTile
from ohmgrid.net import Net


@settings(max_examples=6)
@given(data=st.data(), seed=SEEDS, rows=ROWS, cols=COLS, lanes=st.sampled_from([3, 4]))
def test_any_mixed_precision_of_a_core_equals_the_model(data, seed, rows, cols, lanes):
    """The second of two layers, loaded in the middle of a run."""
    print(f"seed={seed}")
    build = BUILDS[lanes]
    device = data.draw(mixed_precisions().filter(lambda device: suits(device, build)))
    config = data.draw(configs(build)).replace(device=device)
    tile_alike(GatewareMixedTile, config, rows, cols, seed)


@settings(max_examples=2)
@given(data=st.data(), seed=SEEDS)
def test_a_net_of_mixed_precision_trains_with_the_host(data, seed):
    print(f"seed={seed}")
    rng, build = np.random.default_rng(seed), BUILDS[4]
    device = data.draw(mixed_precisions().filter(lambda device: suits(device, build)))
    config = data.draw(configs(build)).replace(device=device)
    shapes = tuple(int(n) for n in rng.integers(2, 8, 3))
    trained_alike(config, Net(shapes, "sigmoid", "cross-entropy"), seed, (1, 2))

"""Write noise in a lane: what a read sees equals the model."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ohmgrid.hdl.device.visible import VisibleWeight
from ohmgrid.model.device.visible import visible
from ohmgrid.registers.device import VISIBLE_BITS
from ohmgrid.sim.tables import run_pipeline

REGISTERS = st.one_of(st.sampled_from([0, 1, (1 << VISIBLE_BITS) - 1]), st.integers(1, 1000))


@given(st.integers(0, 2**32 - 1), st.sampled_from([12, 16, 18]), REGISTERS, st.booleans())
def test_visible_weight_equals_the_model(seed, bits, register, turned):
    print(f"seed={seed}")
    rng = np.random.default_rng(seed)
    top = (1 << (bits - 1)) - 1
    weight = rng.integers(-top, top + 1, 60)
    weight[:3] = top, -top, 0
    keys = rng.integers(0, 1 << 32, (2, 60), dtype=np.uint32)
    row, column = ("lane_key", "serial_key") if turned else ("serial_key", "lane_key")
    columns = {"weight": weight, row: keys[0], column: keys[1]}
    constants = {"visible": register, "turned": turned}
    seen = run_pipeline(VisibleWeight(bits), columns, ["o"], constants)
    expected = visible(weight, (keys[0], keys[1]), register, bits)
    assert seen["o"] == expected.tolist()
    assert register or expected.tolist() == weight.tolist()
    assert register < 100 or expected.tolist() != weight.tolist()

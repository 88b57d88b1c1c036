"""A lane after synthesis, as a family's cells: still the golden model's, bit for bit."""

import pytest
from gates import Gates
from lane_visits import OUTPUTS, LaneVisits

from ohmgrid.hdl.array.lane import Lane

FAMILIES = {
    "ecp5": ("MULT18X18D", "DP16KD"),
    "gowin": ("MULT18X18", "DPX9B"),
    "ice40": ("SB_MAC16", "SB_RAM40_4K"),
}
"""family -> its multiplier and its block RAM: both are to be in the netlist."""


def check(family, rng, work, bits, code_bits, rows, write_noise, read_physics):
    dut = Lane(rows, bits, 40, code_bits, write_noise, read_physics)
    gates = Gates(dut, family, work)
    for cell in FAMILIES[family]:
        assert f"cell \\{cell} " in gates.cells
    for block in range(8):
        visits = LaneVisits(
            rng,
            dut.times,
            rows,
            bits,
            code_bits,
            by_serial=bool(block & 1),
            register=int(rng.choice([0, 1, 900, 4095])) if write_noise else 0,
            paired=bool(block & 2),
            magnitude=bool(block & 4),
            read_physics=read_physics,
            turned=bool(rng.integers(2)),
        )
        seen = []
        for inputs in visits.inputs:
            for name, value in inputs.items():
                gates.set(name, value)
            seen.append({name: gates.get(name) for name in OUTPUTS})
            gates.step()
        visits.check(seen)


@pytest.mark.parametrize(
    "family", ["ecp5", *(pytest.param(of, marks=pytest.mark.slow) for of in ("gowin", "ice40"))]
)
def test_a_plain_lane_is_right_after_synthesis(family, rng, tmp_path):
    check(family, rng, tmp_path, 16, 8, 128, write_noise=False, read_physics=False)


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("bits", "code_bits"), [(18, 8), (16, 16), (12, 8)])
def test_a_lane_with_everything_is_right_after_synthesis(family, bits, code_bits, rng, tmp_path):
    check(family, rng, tmp_path, bits, code_bits, 512, write_noise=True, read_physics=True)

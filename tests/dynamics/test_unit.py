"""The dynamics unit under any pace, on exported Verilog."""

from pathlib import Path

from ohmgrid.hdl.dynamics.unit import Unit
from ohmgrid.sim.runner import run_cocotb


def test_unit():
    sizes = {"neurons": 4, "ring": 64, "lanes": 2, "edge_bits": 14}
    passed = run_cocotb(
        Unit(**sizes),
        Path(__file__).parents[1] / "cocotb_dynamics.py",
        name="dynamics",
        parameters=sizes,
    )
    assert passed == 2

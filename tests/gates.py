"""Components after synthesis: a family's cells, each by its model, simulated port by port."""

import re
from pathlib import Path

from amaranth.hdl import Shape
from amaranth.lib import data, wiring
from vendor_models import MODELS

from ohmgrid.boards.synth import elaborated
from ohmgrid.boards.synthesis import synthesis
from ohmgrid.sim.cxxrtl.instance import Instance, Ports, load
from ohmgrid.sim.cxxrtl.make import LIBRARY, make_library, read_ports
from ohmgrid.tools import toolchain
from ohmgrid.tools.export import ports

__all__ = ["Gates", "simulated"]

_CELLS = {
    "ecp5": "+/lattice/cells_sim_ecp5.v",
    "ice40": "+/ice40/cells_sim.v",
    "gowin": "+/gowin/cells_sim.v",
}
"""family -> yosys' own models, which lack multipliers and block RAMs (but for iCE40)."""


def simulated(netlist: str, work: Path) -> Instance:
    """Return a netlist without unknown cells (RTLIL), compiled as CXXRTL does it."""
    library = work / "library"
    library.mkdir()
    # It runs for a thousand cycles: compiling takes longer.
    make_library(netlist, "netlist", library, fast=False, flags=("-O0",))
    return Instance(load(library / LIBRARY), Ports(read_ports(library)))


class Gates:
    """A component's netlist as a bitstream has it: the same passes and options.

    Parameters
    ----------
    component : wiring.Component
    family : str
        Of `ohmgrid.boards.synthesis.FAMILIES`.
    work : Path
        An empty folder.

    Attributes
    ----------
    cells : str
        What it is made of: RTLIL of the netlist.
    """

    def __init__(self, component: wiring.Component, family: str, work: Path):
        self._shapes: dict[str, tuple[str, int, Shape]] = {}
        for path, _, value in component.signature.flatten(component):
            name = "__".join(map(str, path))
            layout = value.shape() if isinstance(value, data.View) else None
            if isinstance(layout, data.Layout):
                for key, field in layout:
                    shape = Shape.cast(field.shape)
                    self._shapes[f"{name}.{key}"] = (name, field.offset, shape)
            else:
                self._shapes[name] = (name, 0, Shape.cast(value.shape()))
        (work / "design.il").write_text(elaborated(component, family))
        (work / "models.v").write_text(MODELS[family])
        toolchain.run(
            toolchain.find("yosys", native=False),
            [
                *("-q", "-p"),
                f"read_rtlil design.il; {synthesis(family)}; select top;"
                " write_rtlil -selected netlist.il; select -clear; design -reset;"
                f" read_verilog -defer -nowb -overwrite {_CELLS[family]};"
                " read_verilog -sv -overwrite models.v;"
                " read_rtlil netlist.il; hierarchy -check -top top; proc; flatten;"
                " opt_expr; opt_clean -purge; write_rtlil simulated.il",
            ],
            cwd=work,
            log=work / "yosys.log",
        )
        self.cells = (work / "netlist.il").read_text()
        # Ports of one bit as Amaranth writes them.
        text = (work / "simulated.il").read_text()
        text = re.sub(r"(?m)^  wire (?=input|output)", "  wire width 1 ", text)
        self._instance = simulated(text, work)
        self._words = dict.fromkeys(ports(component), 0)

    def set(self, name: str, value: int) -> None:
        """Set an input, or a field of one: ``shared.read``."""
        port, offset, shape = self._shapes[name]
        mask = (1 << shape.width) - 1
        word = self._words[port] & ~(mask << offset) | (int(value) & mask) << offset
        if word != self._words[port]:
            self._words[port] = word
            self._instance.set(port, word)

    def get(self, name: str) -> int:
        """Return an output, or a field of one, as it is before the next clock edge."""
        port, offset, shape = self._shapes[name]
        value = self._instance.get(port) >> offset & ((1 << shape.width) - 1)
        return value - (value >> (shape.width - 1) << shape.width if shape.signed else 0)

    def step(self) -> None:
        """Run a clock cycle."""
        self._instance.step()

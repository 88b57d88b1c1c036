"""Netlists of components with a vendor's block in them, beside a model of the block."""

import re
from pathlib import Path

from amaranth.back import rtlil

from ohmgrid.boards.synth import Target
from ohmgrid.tools import toolchain
from ohmgrid.tools.export import ports

__all__ = ["merged_netlist", "vendor_netlist"]


def vendor_netlist(component, family: str) -> str:
    """Return what a component is on a family, as RTLIL: the block is a cell of an unknown kind."""
    return rtlil.convert(component, "top", Target(family), ports=ports(component), emit_src=False)


def merged_netlist(text: str, model: str, work: Path, passes: str = "") -> str:
    """Return RTLIL with the model (Verilog) of its blocks flattened in.

    Parameters
    ----------
    text : str
        As from `vendor_netlist`.
    model : str
    work : Path
        Folder for the files of the run.
    passes : str
        Further passes of yosys, each with its semicolon.
    """
    (work / "design.il").write_text(text)
    (work / "model.v").write_text(model)
    toolchain.run(
        toolchain.find("yosys", native=False),
        [
            *("-q", "-p"),
            "read_verilog -sv model.v; read_rtlil design.il; hierarchy -check -top top; proc;"
            f" flatten; {passes} opt_clean -purge; write_rtlil merged.il",
        ],
        cwd=work,
        log=work / "yosys.log",
    )
    # Ports of one bit as Amaranth writes them.
    merged = (work / "merged.il").read_text()
    return re.sub(r"(?m)^  wire (?=input|output)", "  wire width 1 ", merged)

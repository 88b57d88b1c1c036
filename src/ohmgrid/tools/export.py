"""Verilog of a component, for simulators that read Verilog.

The text depends on the component alone: not on ``PYTHONHASHSEED``, on where the checkout lies or on
the day, so its hash can name a build.
"""

import re

from amaranth.back import verilog
from amaranth.hdl import Signal, Value, ValueCastable
from amaranth.hdl._ir import PortDirection  # not public, but `ports=` takes nothing else
from amaranth.lib import wiring

__all__ = ["export_verilog", "is_identifier", "ports"]

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_COMBINATIONAL = re.compile(r"^(\s*)always @\*", re.MULTILINE)


def is_identifier(name: str) -> bool:
    """Return whether a module can have a name."""
    return _IDENTIFIER.fullmatch(name) is not None


def ports(component: wiring.Component) -> dict[str, tuple[Signal, PortDirection]]:
    """Return the signals of a component's signature, named as in Verilog: ``i__payload``.

    The constant ``ready`` or ``valid`` of an ``always_ready`` or ``always_valid`` stream is left
    out: `amaranth.back.verilog` refuses constants as ports (amaranth#1574).

    Parameters
    ----------
    component : wiring.Component
        Its signature decides; clock and reset are not part of it.

    Returns
    -------
    dict[str, tuple[Signal, PortDirection]]
        In the order of the signature.
    """
    found = {}
    for path, member, value in component.signature.flatten(component):
        if isinstance(value, ValueCastable):  # a structured payload
            value = Value.cast(value)
        if isinstance(value, Signal):
            direction = PortDirection.Input if member.flow == wiring.In else PortDirection.Output
            found["__".join(map(str, path))] = (value, direction)
    return found


def export_verilog(component: wiring.Component, name: str) -> str:
    """Return a component as Verilog, one module a submodule, the top called `name`.

    Ports are the members of the signature, joined by two underscores, and ``clk`` and ``rst`` where
    the component has registers. Positions in the Python source are left out: they would make the
    text depend on where the checkout lies.

    Parameters
    ----------
    component : wiring.Component
        What to export; it is elaborated, so it cannot be changed afterwards.
    name : str
        A Verilog identifier.

    Returns
    -------
    str
        SystemVerilog in the subset that Icarus 11 and Verilator 5 read.
    """
    if not isinstance(component, wiring.Component):
        raise TypeError(f"expected an Amaranth wiring.Component, got {component!r}")
    if not is_identifier(name):
        raise ValueError(f"expected a Verilog identifier as the module's name, got {name!r}")
    text = verilog.convert(
        component, name, ports=ports(component), emit_src=False, strip_internal_attrs=True
    )
    # `always @*` never runs when its inputs never change after time 0, and then Icarus shows X for
    # ever (amaranth#1629, yosys#2271); `always_comb` runs once at time 0.
    return _COMBINATIONAL.sub(r"\1always_comb", text)

"""What passes between the memories of lines and the array: values, and lists of lines."""

from amaranth.hdl import signed
from amaranth.lib import data

from ohmgrid.config import Config
from ohmgrid.hdl.periphery.voltages import code_bits
from ohmgrid.periphery import SLOTS

__all__ = ["ASK", "LINE", "keys_layout", "line_cycles", "list_layout", "values_layout"]

LINE = {"train": SLOTS, "sign": 1, "static": 64, "cycle": 32}
"""What a line has beside its code: train and sign, noise keys of device and cycle."""
ASK = data.StructLayout({"valid": 1, "key": 64, "index": 16, "sub": 8, "purpose": 8})
"""Asks for a line's key, as of `ohmgrid.hdl.base.noise.LineKey`."""


def keys_layout(config: Config) -> data.StructLayout:
    """Return the layout of what keys of lines are computed from.

    ``static``, ``cycle``: operation keys of what is fixed, and of the update; ``sub``: slot or
    chunk of a sweep; ``row`` and ``column``: where the array's first device row and its first
    column lie in the memories.
    """
    build = config.build
    return data.StructLayout(
        {
            **{"static": 64, "cycle": 64, "sub": 8},
            **{"row": range(build.outputs), "column": range(build.inputs)},
        }
    )


def line_cycles(config: Config) -> int:
    """Return the cycles from a line's address to its values."""
    return config.build.line_cycles


def values_layout(config: Config) -> data.StructLayout:
    """Return the layout of what the memories of a side say of a line."""
    return data.StructLayout({"code": signed(code_bits(config)), **LINE})


def list_layout(config: Config) -> data.StructLayout:
    """Return the layout of what makes a list of serial lines: empty it; ``put`` one at its end.

    A list of pulses is one of many, with ``clear`` ``line`` says where it begins: at the number of
    its first column or, behind all those, of its first row's device.
    """
    places = config.build.inputs + config.build.outputs
    return data.StructLayout({"clear": 1, "put": 1, "line": range(places)})

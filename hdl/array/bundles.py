"""What travels through an array, as bundles: visits with their row, columns, cells, settings.

A visit is one token. It leaves the sweep with where it goes; the row's values join it from the row
memories, and all of it is delayed together on the way to the lanes. Columns to load travel the same
way in the same time, so that their order at the lanes is that in which the sweep sent them.
"""

from typing import Any, NamedTuple

from amaranth.hdl import Cat, Module, Signal, Value, signed
from amaranth.lib import data

from ohmgrid.config import SLOTS, Config
from ohmgrid.hdl.base.own_register import OwnRegister
from ohmgrid.hdl.device.ports import REGISTERS, TABLE_WRITE
from ohmgrid.hdl.periphery.voltages import code_bits
from ohmgrid.registers.device import VISIBLE_BITS

__all__ = [
    "LINE",
    "Token",
    "branched",
    "cell_layout",
    "column_layout",
    "load_layout",
    "passed",
    "place_layout",
    "settings_layout",
    "visit_layout",
]

LINE = {"train": SLOTS, "sign": 1, "static": 64, "cycle": 32}
"""What a row or a column has beside its code: train and sign, noise keys of device and cycle."""


def _depth(config: Config) -> int:
    """Return the words of a lane."""
    return config.build.max_blocks * config.build.max_rows


def place_layout(rows: int, depth: int, banks: int) -> data.StructLayout:
    """Return the layout of a visit as the sweep sends it.

    It is a block's ``first`` or ``last`` one, of the ``start`` if that block is the sweep's first;
    the keys of the block's columns lie in ``bank``.
    """
    return data.StructLayout(
        {
            "first": 1,
            "last": 1,
            "start": 1,
            "row": range(rows),
            "address": range(depth),
            "bank": range(banks),
        }
    )


def visit_layout(config: Config) -> data.StructLayout:
    """Return the layout of a visit as it comes to a group: with the values of its row.

    ``minus``: the row holds minus devices.
    """
    return data.StructLayout(
        {
            "first": 1,
            "last": 1,
            "minus": 1,
            "address": range(_depth(config)),
            "bank": range(config.build.key_banks),
            "code": signed(code_bits(config)),
            **LINE,
        }
    )


def load_layout(lanes: int, banks: int) -> data.StructLayout:
    """Return the layout of a column to load as the sweep sends it: for the one lane that is set.

    Its keys go to ``bank``; ``bias``: it is the always-on input.
    """
    return data.StructLayout({"lanes": lanes, "bank": range(banks), "bias": 1})


def column_layout(config: Config, lanes: int) -> data.StructLayout:
    """Return the layout of a column as it comes to a group of so many lanes."""
    return data.StructLayout(
        {
            **load_layout(lanes, config.build.key_banks).members,
            "code": signed(code_bits(config)),
            **LINE,
        }
    )


def cell_layout(config: Config, lane_bits: int) -> data.StructLayout:
    """Return the layout of a cell that is written: its word, or its reference's."""
    return data.StructLayout(
        {
            "word": 1,
            "reference": 1,
            "lane": lane_bits,
            "address": range(_depth(config)),
            "data": signed(config.formats.weight_bits),
        }
    )


def settings_layout(config: Config) -> data.StructLayout:
    """Return the layout of what is constant while cells are in flight.

    ``update``: cells that are hit go to the device unit. ``by_row``: words are multiplied with the
    row's code, and summed in the lanes. ``next_bank`` alone changes in a sweep.
    """
    return data.StructLayout(
        {
            "update": 1,
            "by_row": 1,
            "magnitude": 1,
            "paired": 1,
            "visible": VISIBLE_BITS,
            "next_bank": range(config.build.key_banks),
            "registers": REGISTERS,
            "table_write": TABLE_WRITE,
        }
    )


class Token(NamedTuple):
    """Something on its way: whether it is there in this cycle, and what it says."""

    valid: Value
    payload: Any


def passed(m: Module, token: Token, name: str) -> Token:
    """Return a token a cycle later; a reset forgets it."""
    valid = Signal(name=f"{name}_valid")
    payload = Signal.like(token.payload, name=name, reset_less=True)
    m.d.sync += [valid.eq(token.valid), payload.eq(token.payload)]
    return Token(valid, payload)


def branched(m: Module, token: Token, name: str) -> Token:
    """Return the same from one of several equal registers, each in its own place on the chip."""
    bits = Value.cast(token.payload)
    m.submodules[name] = register = OwnRegister(1 + len(bits))
    m.d.comb += register.i.eq(Cat(token.valid, bits))
    return Token(register.o[0], data.View(token.payload.shape(), register.o[1:]))

"""What travels through an array, as bundles: visits with their line, lines to load, cells.

A visit is one token. It leaves the sweep with where it goes; the values of its serial line join it
from the line memories, and all of it is delayed together on the way to the lanes. Lane lines to
load travel the same way in the same time, so that their order at the lanes is that in which the
sweep sent them.
"""

from typing import Any, NamedTuple

from amaranth.hdl import Cat, Module, Signal, Value, signed
from amaranth.lib import data

from ohmgrid.config import Config
from ohmgrid.hdl.base.own_register import nearby
from ohmgrid.hdl.device.ports import REGISTERS
from ohmgrid.hdl.periphery.values import LINE
from ohmgrid.hdl.periphery.voltages import code_bits
from ohmgrid.periphery import SLOTS
from ohmgrid.registers.device import VISIBLE_BITS

__all__ = [
    "Token",
    "array_layout",
    "branched",
    "cell_layout",
    "lane_line_layout",
    "load_layout",
    "passed",
    "place_layout",
    "settings_layout",
    "sweep_layout",
    "visit_layout",
]


def array_layout(config: Config) -> data.StructLayout:
    """Return the layout of what says where an array lies; constant while it is at work.

    It has so many ``serial`` lines and ``lane_lines``, the first ones of these numbers in their
    memories. The word of a serial line is ``origin`` and its number, doubled for ``paired``
    weights. ``turned``: the lanes lie along outputs (rows), not inputs (columns). With
    ``significance`` its words are doubled, too: passes add each second word so many times, and the
    first one, negative where it is ``inverted``; nothing else reaches the second.
    """
    build = config.build
    most = build.significance
    return data.StructLayout(
        {
            "serial": range(build.lines + 1),
            "lane_lines": range(build.lines + 1),
            "serial_line": range(build.lines),
            "lane_line": range(build.lines),
            "origin": range(build.words),
            "turned": 1,
            "paired": 1,
            **({"significance": range(most + 1), "inverted": 1} if most else {}),
        }
    )


def sweep_layout(config: Config) -> data.StructLayout:
    """Return the layout of what a sweep is to do; constant while it runs.

    ``tree``: the products of all lanes are summed for each serial line. ``chain``: those of all
    serial lines, in the lanes. ``update``: cells that are hit go to the device units.
    ``magnitude``: weights count by their magnitudes. Of the trains, ``slots`` count; serial lines
    with pulses are ``listed`` ones in the list of the array's own, which begins at ``list``.

    ``block``: through a block alone, which is ``offset`` words and ``before`` lane lines behind the
    first. ``split``: devices of pairs are lines of their own; turned, the sweep then meets those
    that are ``minus`` or those that are not.
    """
    build = config.build
    return data.StructLayout(
        {
            **{"tree": 1, "chain": 1, "update": 1, "magnitude": 1, "slots": SLOTS},
            **{"block": 1, "offset": range(build.words), "before": range(build.lines)},
            **{
                "split": 1,
                "minus": 1,
                "listed": range(build.lines + 1),
                "list": range(build.inputs + build.outputs),
            },
        }
    )


def place_layout(lines: int, words: int, banks: int) -> data.StructLayout:
    """Return the layout of a visit as the sweep sends it.

    It is a block's ``first`` or ``last`` one, of the ``start`` if that block is the sweep's first,
    and ``final`` if it is the last; of a pair, that of the ``minus`` device, or else of a cell's
    second word; ``more``: another one of the same serial line follows; ``bias``: its serial
    line is the always-on input; ``none``: there is none with a code, so that its own counts as 0.
    The keys of the block's lane lines lie in ``bank``.
    """
    return data.StructLayout(
        {
            "first": 1,
            "last": 1,
            "start": 1,
            "final": 1,
            "minus": 1,
            "more": 1,
            "bias": 1,
            "none": 1,
            "line": range(lines),
            "address": range(words),
            "bank": range(banks),
        }
    )


def visit_layout(config: Config) -> data.StructLayout:
    """Return the layout of a visit as it comes to a group: with the values of its serial line."""
    return data.StructLayout(
        {
            "first": 1,
            "last": 1,
            "minus": 1,
            "bias": 1,
            "address": range(config.build.words),
            "bank": range(config.build.key_banks),
            "code": signed(code_bits(config)),
            **LINE,
        }
    )


def load_layout(lanes: int, banks: int) -> data.StructLayout:
    """Return the layout of a line to load as the sweep sends it: for the one lane that is set.

    Its keys go to ``bank``, those of a ``minus`` device beside those of its plus device; ``bias``:
    it is the always-on input.
    """
    return data.StructLayout({"lanes": lanes, "bank": range(banks), "minus": 1, "bias": 1})


def lane_line_layout(config: Config, lanes: int) -> data.StructLayout:
    """Return the layout of a line as it comes to a group of so many lanes."""
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
            "address": range(config.build.words),
            "data": signed(config.formats.weight_bits),
        }
    )


def settings_layout(config: Config) -> data.StructLayout:
    """Return the layout of what is constant while cells are in flight.

    ``update``: cells that are hit go to the device unit. ``by_row``: words are multiplied with the
    serial line's code, and summed in the lanes. ``inverted``: pulses that lower what passes see
    raise the cell. ``turned``: the lanes lie along rows.
    ``lane_paired``: lane lines have keys for both devices of a pair. ``next_bank`` alone changes in
    a sweep.
    """
    return data.StructLayout(
        {
            "update": 1,
            "by_row": 1,
            "magnitude": 1,
            "paired": 1,
            "inverted": 1,
            "turned": 1,
            "lane_paired": 1,
            "visible": VISIBLE_BITS,
            "next_bank": range(config.build.key_banks),
            "registers": REGISTERS,
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
    both = nearby(m, Cat(token.valid, bits), name)
    return Token(both[0], data.View(token.payload.shape(), both[1:]))

"""What the engines of a core share: registers, the array at work, and how they ask for work."""

from contextlib import contextmanager
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data

from ohmgrid.config import Config
from ohmgrid.host.protocol import SET_BIT, TABLE_DATA_BITS
from ohmgrid.registers.arrays import entry_fields
from ohmgrid.registers.map import CONVERTER, CORE, READ_BITS, STEP_WORD_BITS
from ohmgrid.registers.noise import Verb
from ohmgrid.registers.steps import WIDTHS

__all__ = [
    "ADDRESS_BITS",
    "COLUMN",
    "KEY",
    "REGISTERS",
    "ROW",
    "STEP",
    "TRAINER_WRITE",
    "WAY",
    "Work",
    "either",
    "entry_layout",
    "lies",
    "of_direction",
    "over_lines",
    "same",
    "shared_port",
    "spanning",
    "update_key",
]

COLUMN, ROW = 0, 1
"""The two sides of an array, as `ohmgrid.hdl.periphery.lines` numbers them."""

REGISTERS = data.StructLayout({name: register.bits for name, register in CORE.items()})
"""Registers of a core (`ohmgrid.registers.map.CORE`)."""

WAY = data.StructLayout(
    {name: register.bits for name, register in CONVERTER.items()} | dict(READ_BITS)
)
"""What differs between forward and backward, of the direction at work."""

KEY = data.StructLayout({"start": 1, "verb": 8, "step": 48})
"""Asks for an operation key of the array at work: a strobe, and what the key is of."""

STEP = data.StructLayout(dict(WIDTHS))
"""A step of the step table."""

ADDRESS_BITS = SET_BIT - TABLE_DATA_BITS
"""Of an entry of a table."""

TRAINER_WRITE = data.StructLayout(
    {"en": 1, "table": 8, "address": ADDRESS_BITS, "data": STEP_WORD_BITS}
)
"""Write port of the tables of `ohmgrid.registers.map.TRAINER`."""


def entry_layout(config: Config) -> data.StructLayout:
    """Return the layout of an entry of the array table (`ohmgrid.registers.arrays`)."""
    return data.StructLayout(entry_fields(config.build.read_physics))


def shared_port(
    port: Any,
    host: Any,
    loads: Value,
    puts: Value,
    address: Value,
    word: Value,
    place: Value | None = None,
) -> list[Any]:
    """Return what writes a memory that a host loads and an engine writes.

    Parameters
    ----------
    port : WritePort
    host : View of `TRAINER_WRITE`
    loads, puts : Value
        Strobes, never both: the host's word comes; the engine's does,
    address, word : Value
        here.
    place : Value or None
        Where the host's goes, if that is not all of its address.
    """
    return [
        port.en.eq(loads | puts),
        port.addr.eq(Mux(loads, host.address if place is None else place, address)),
        port.data.eq(Mux(loads, host.data, word)),
    ]


def either(layout: data.Layout, *jobs: Any) -> data.View:
    """Return the job of the one engine that has one: all others ask for nothing."""
    asked = Value.cast(jobs[0])
    for job in jobs[1:]:
        asked = asked | Value.cast(job)
    return data.View(layout, asked)


def of_direction(backward: Value, *sources: Any) -> Value:
    """Return the fields of `WAY` in their order: those of the direction at work, each from the
    source that has it; 0 where the build is without the physics that it is of."""

    def of(name: str, bits: int) -> Value:
        for source in sources:
            if name in source.shape().members:
                return Value.cast(source[name])
        return Const(0, bits)

    def chosen(name: str, bits: int) -> Value:
        one = Mux(backward, of(f"backward_{name}", bits), of(f"forward_{name}", bits))
        return (one | Const(0, bits))[:bits]

    return Cat(chosen(name, field.width) for name, field in WAY)


def lies(at: Any, entry: Any, split: Value) -> list[Any]:
    """Return what says where the array at work lies.

    Parameters
    ----------
    at : View of `ohmgrid.hdl.array.bundles.array_layout`
    entry : View of `entry_layout`
    split : Value
        Devices of pairs are lines of their own: in a refresh, if they lie on the serial side.
    """
    split = split & ~entry.turned
    rows = Mux(split, entry.rows << 1, entry.rows)
    row = Mux(split, entry.output_line << 1, entry.output_line)
    return [
        at.serial.eq(Mux(entry.turned, entry.cols, rows)),
        at.lane_lines.eq(Mux(entry.turned, rows, entry.cols)),
        at.serial_line.eq(Mux(entry.turned, entry.input_line, row)),
        at.lane_line.eq(Mux(entry.turned, row, entry.input_line)),
        at.origin.eq(entry.origin),
        at.turned.eq(entry.turned),
        at.paired.eq(entry.paired & ~split),
        *(
            at[name].eq(entry[name])
            for name in ("significance", "inverted")
            if name in at.shape().members
        ),
    ]


def update_key(key: Any, refresh: Value, step: Value, column: Value) -> list[Any]:
    """Return what asks for the key of an update, or of writing a column back in a refresh.

    Parameters
    ----------
    key : View of `KEY`
    refresh, step, column : Value
        Whether it is that; updates of the array before; the column.
    """
    return [
        key.verb.eq(Mux(refresh, Verb.REWRITE, Verb.UPDATE)),
        key.step.eq(Mux(refresh, Cat(step[:32], column), step)),
    ]


def spanning(job: Any, entry: Any, side: Any, devices: int = 0, split: Any = 0) -> list[Any]:
    """Return what says which lines of the array at work a vector is for.

    Parameters
    ----------
    job : View
        Has the fields ``side``, ``first`` and ``count``.
    entry, side, devices, split
        As of `over_lines`.
    """
    split = Value.cast(split)
    doubled = entry.paired & (devices | split)
    return [
        job.side.eq(side),
        job.first.eq(Mux(side, entry.output_line << (entry.paired & split), entry.input_line)),
        job.count.eq(Mux(side, entry.rows << doubled, entry.cols)),
    ]


def over_lines(job: Any, entry: Any, side: Any, devices: int = 0, split: Any = 0) -> list[Any]:
    """Return what says which lines of the array at work a pass goes through.

    Parameters
    ----------
    job : View of `ohmgrid.hdl.periphery.passes.pass_layout`
    entry : View of `entry_layout`
    side : Value or int
        `COLUMN` or `ROW`.
    devices : int
        Whether rows are those of devices, two for a pair.
    split : Value or int
        Whether they are lines of their own, too.
    """
    return [
        *spanning(job, entry, side, devices, split),
        job.paired.eq(entry.paired & ~Value.cast(split)),
        job.turned.eq(entry.turned),
    ]


def same(into: Any, of: Any, *names: str) -> list[Any]:
    """Return what connects members of one component, or fields, to those of the same names."""

    def member(one: Any, name: str) -> Any:
        return one[name] if isinstance(one, data.View) else getattr(one, name)

    return [member(into, name).eq(member(of, name)) for name in names]


class Work:
    """Work that one state of an engine starts and waits for.

    Parameters
    ----------
    m : Module
        The engine's.
    """

    def __init__(self, m: Module):
        self._m = m
        self._begun = Signal()

    @contextmanager
    def until_done(self, start: Value, busy: Value):
        """Strobe ``start`` in the first cycle of a state; the body says what follows ``busy``."""
        m, begun = self._m, self._begun
        m.d.comb += start.eq(~begun)
        m.d.sync += begun.eq(1)
        with m.If(begun & ~busy):
            m.d.sync += begun.eq(0)
            yield

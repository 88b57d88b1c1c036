"""What lies between the arrays of a weight: buffers, choppers, averages; and a host's way to them.

The twin is `ohmgrid.model.core.transfer`.
"""

from typing import Any

from amaranth.hdl import Module, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ohmgrid.config import Config
from ohmgrid.hdl.core.averages import Averages
from ohmgrid.hdl.core.buffers import Buffers
from ohmgrid.hdl.core.jobs import ADDRESS_BITS, same
from ohmgrid.host.protocol import OUT_BITS, READ_COUNT

__all__ = ["Between", "connect_between"]

ASKED = 3
"""Cycles from the place of a word until it is there."""
SHARED = ("write", "registers")
OF_BUFFERS = ("array", "entry", "start", "i_valid", "i", "busy", "key", "key_done", "op_key")
OF_BUFFERS += ("again", "next", "value", "d_one", "side", "line", "looked")
OF_AVERAGES = ("x_max", "d_max", "rate", "rate_shift")


class Between(wiring.Component):
    """Buffers and averages, and what sends words of their tables to a host.

    Parameters
    ----------
    config : Config

    Members
    -------
    write, registers, array, entry, start, i_valid, i, busy, key, key_done, op_key, again, next,
    value, d_one, side, line, looked : as of `ohmgrid.hdl.core.buffers.Buffers`
    average : In(1), planned : In ; x_max, d_max, rated, rate, rate_shift : as ``start``, ``array``,
        ``done`` and so on of `ohmgrid.hdl.core.averages.Averages`
    read : In(1), table, first, count : In
        Strobe: so many words of a table (`ohmgrid.registers.map.TRAINER`) go out, from this one on;
    reading : Out(1)
        until that is done,
    o : Out stream
        here.
    """

    def __init__(self, config: Config):
        self._buffers, self._averages = Buffers(config), Averages(config)
        buffers, averages = (part.signature.members for part in (self._buffers, self._averages))
        super().__init__(
            {
                **{name: buffers[name] for name in (*SHARED, *OF_BUFFERS)},
                **{name: averages[name] for name in OF_AVERAGES},
                "average": In(1),
                "planned": averages["array"],
                "rated": Out(1),
                "read": In(1),
                "table": In(8),
                "first": In(ADDRESS_BITS),
                "count": In(32),
                "reading": Out(1),
                "o": Out(stream.Signature(signed(OUT_BITS))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.buffers = buffers = self._buffers
        m.submodules.averages = averages = self._averages

        def passed(part: Any, names: tuple[str, ...]):
            for name in names:
                flow = part.signature.members[name].flow
                ends = (getattr(part, name), getattr(self, name))
                m.d.comb += ends[0].eq(ends[1]) if flow == In else ends[1].eq(ends[0])

        passed(buffers, (*SHARED, *OF_BUFFERS))
        passed(averages, (*SHARED, *OF_AVERAGES))
        m.d.comb += [
            averages.start.eq(self.average),
            averages.array.eq(self.planned),
            self.rated.eq(averages.done),
        ]
        place, left, wait = Signal(ADDRESS_BITS), Signal.like(self.count), Signal(2)
        m.d.comb += [
            *(buffers.reading.eq(self.reading), buffers.place.eq(place)),
            averages.address.eq(place),
            self.o.valid.eq((wait == ASKED) & (left != 0)),
            self.reading.eq(self.read | (left != 0)),
        ]
        with m.Switch(self.table):
            for table, word in (buffers.words | averages.words).items():
                with m.Case(table):
                    m.d.comb += self.o.payload.eq(word)
        with m.If(self.read):
            m.d.sync += [place.eq(self.first), left.eq(self.count), wait.eq(0)]
        with m.Elif(wait != ASKED):
            m.d.sync += wait.eq(wait + 1)
        with m.Elif(self.o.valid & self.o.ready):
            m.d.sync += [place.eq(place + 1), left.eq(left - 1), wait.eq(0)]
        return m


def connect_between(
    m: Module,
    between: Between,
    through: Signal,
    keys: Any,
    settings: Any,
    table: Any,
    commands: Any,
    sequencer: Any,
    multiply: Any,
    loader: Any,
    lines: Any,
    maxima: Any,
    pulser: Any,
) -> None:
    """Connect what lies between arrays to the engines of a core.

    Parameters
    ----------
    m : Module
        The core's.
    between : Between
    through : Signal
        Becomes whether results go to it, or errors come from there.
    keys, settings, table, commands, sequencer, multiply, loader, lines, maxima, pulser : Component
    """
    asked, kinds = commands.argument, commands.kinds
    moves = kinds.send | kinds.load_d
    m.d.sync += through.eq(sequencer.running & sequencer.apart & moves)
    m.d.comb += [
        between.write.eq(settings.trainer_write),
        *same(between, settings, "registers"),
        *(between.array.eq(commands.arg), between.entry.eq(table.entry)),
        between.start.eq(commands.multiply & through),
        between.i_valid.eq(multiply.o.valid & commands.multiplying & through),
        between.i.eq(multiply.o.payload),
        *(between.key_done.eq(keys.verb_done), between.op_key.eq(keys.key)),
        between.again.eq(commands.load_vector),
        between.next.eq(loader.ready),
        between.d_one.eq(1 << settings.registers.d_frac),
        *(between.side.eq(lines.chopper_side), between.line.eq(lines.chopper_line)),
        lines.chopper.eq(between.looked),
        *(between.read.eq(commands.read), between.table.eq(asked[:8])),
        between.first.eq(asked[8:READ_COUNT]),
        between.count.eq(asked[READ_COUNT:]),
        commands.through.eq(through),
        commands.buffers_busy.eq(between.busy | between.reading),
        # What hosts pulse has the signs and the rate that they give it.
        pulser.learns.eq(sequencer.running & table.planned.device_set),
        pulser.averaged.eq(pulser.learns & settings.registers.averaged),
        *(between.average.eq(pulser.average), between.planned.eq(pulser.at)),
        *same(between, maxima.planned, "x_max", "d_max"),
        *same(pulser, between, "rated", "rate", "rate_shift"),
    ]

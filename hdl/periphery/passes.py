"""Passes through the lines of one side of an array: what they are to do, and their turns."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import data

from ohmgrid.config import Config
from ohmgrid.hdl.base.pipeline import delayed
from ohmgrid.registers.edge import BL_BITS, FACTOR_BITS
from ohmgrid.registers.layers import EXP_FRAC, MOST_CLASSES

__all__ = ["Count", "Pass", "divisor_bits", "pass_layout", "trains_layout"]

HALVINGS = 7
"""Most halvings of an input, in repeated passes."""


def divisor_bits(config: Config) -> int:
    """Return the width of the largest divisor of a pass.

    That of a DAC is 1.0 of an input at most, halved again and again; that of a softmax the sum of
    its shares, each 1.0 at most.
    """
    shares = min(config.build.outputs, MOST_CLASSES) << EXP_FRAC
    return max((1 << (config.formats.edge_bits - 1 + HALVINGS)), shares).bit_length()


def _lines(config: Config) -> dict[str, Any]:
    """Return the fields that say which lines a pass goes through."""
    lines = config.build.lines
    return {
        **{"side": 1, "count": range(lines + 1), "first": range(lines)},
        **dict.fromkeys(("paired", "turned", "start", "skip"), 1),
    }


def pass_layout(config: Config) -> data.StructLayout:
    """Return the layout of a pass of codes or of keys; constant while it is busy, but for strobes.

    ``side`` (0: columns, 1: rows): the array's ``count`` lines from the ``first`` one on; of
    ``paired`` rows, devices in a pass of keys. ``turned``: the columns are serial.

    ``start`` (strobe): begin a pass, a line a cycle, that writes ``codes`` or, alone,
    ``static_keys`` or ``cycle_keys``. ``factor``, ``divisor``, ``top``: scale of a magnitude.
    ``sub``: number of the pass, for keys and voltages. ``drive``: codes pass the DACs'
    non-idealities on their way, ``part`` says what they then are; ``exact``: codes are the values
    themselves, without the fraction bits of a voltage (both in a build with ``read_physics``).
    ``skip``: of columns alone, ``count`` is `Lines.column_count`, and lines of 0 are passed over:
    codes of theirs stay what they were. ``share``: values are not those of the edge buffer, but
    each line's ``share`` comes from outside, and takes the place of half of ``factor``; results
    leave by ``shared``.
    """
    return data.StructLayout(
        {
            **_lines(config),
            **dict.fromkeys(("share", "codes", "static_keys", "cycle_keys"), 1),
            **{"factor": FACTOR_BITS, "divisor": divisor_bits(config), "top": 17, "sub": 8},
            **{"drive": 1, "exact": 1, "part": 2},
        }
    )


def trains_layout(config: Config) -> data.StructLayout:
    """Return the layout of a pass of keys of cycles and, with ``trains``, trains; as `pass_layout`.

    A line has its turn every ``pace`` cycles or later; of ``paired`` rows, each device.
    ``factor``, ``divisor``: scale of a firing probability. ``sub``: slot or chunk, for keys.
    ``bl``, ``chunk``, ``mode``: slots, part and pulse type of trains. ``chopped``: values of lines
    whose sign is turned count with the other one.
    """
    return data.StructLayout(
        {
            **_lines(config),
            **{
                "trains": 1,
                "chopped": 1,
                "pace": 7,
                "sub": 8,
                "bl": BL_BITS,
                "chunk": 3,
                "mode": 2,
            },
            **{"factor": FACTOR_BITS, "divisor": config.formats.edge_bits},
        }
    )


class Count:
    """Counts the lines of a pass, and says where the next one lies in the memories.

    Attributes
    ----------
    number, line : Signal
    """

    def __init__(self, m: Module, name: str, job: Any, begin: Value, strobe: Value):
        self.number = Signal(job.count.shape(), name=f"{name}_number")
        self.line = Signal(job.first.shape(), name=f"{name}_line")
        with m.If(job.start):
            m.d.sync += [self.number.eq(0), self.line.eq(begin)]
        with m.Elif(strobe):
            m.d.sync += [self.number.eq(self.number + 1), self.line.eq(self.line + 1)]


class Pass:
    """A pass at work: its lines have their turns one after the other.

    Parameters
    ----------
    m : Module
    name : str
        Of its signals.
    job : View of `pass_layout` or `trains_layout`
    doubled : Value
        It goes through devices, two a line.
    bases : (Value, Value)
        Where the vectors of columns and rows begin at the edge.

    Attributes
    ----------
    held : View
        The job, a cycle late: a choice among settings ends in registers.
    begin : Value
        The first line in the memories.
    twice, start : Value
        ``doubled``, and where the vector begins, from registers.
    turn : Signal
        The line of this ``number`` has its turn.
    number : Signal
    running : Signal
    """

    def __init__(self, m: Module, name: str, job: Any, doubled: Value, bases: tuple[Value, Value]):
        self._m, self._name, self._job = m, name, job
        self.held = delayed(m, job, f"{name}_held")
        self.begin = Mux(doubled, job.first << 1, job.first)
        self.twice = delayed(m, doubled, f"{name}_twice")
        first = job.first + Mux(job.side, bases[1], bases[0])
        self.start = delayed(m, first, f"{name}_start")
        self.turn = Signal(name=f"{name}_turn")
        self.running = Signal(name=f"{name}_running")
        self.number = self.count("asked", self.turn).number

    def count(self, name: str, strobe: Value) -> Count:
        """Return a count of strobes of this pass."""
        return Count(self._m, f"{self._name}_{name}", self._job, self.begin, strobe)

    def runs(self, may: Value | int, pace: Value | None = None) -> None:
        """Give lines their turns, where they may have one, with ``pace`` cycles from each to the
        next at least."""
        m, ready = self._m, self.running & (self.number != self.held.count)
        if pace is not None:
            wait = Signal(len(pace), name=f"{self._name}_wait")
            with m.If(self._job.start):
                m.d.sync += wait.eq(0)
            with m.Elif(self.turn):
                m.d.sync += wait.eq(pace - 1)
            with m.Elif(wait != 0):
                m.d.sync += wait.eq(wait - 1)
            ready = ready & (wait == 0)
        m.d.comb += self.turn.eq(ready & may)

    def ends(self, finished: Value) -> Value:
        """Say when all has been done; return whether the pass is busy."""
        m, start = self._m, self._job.start
        # A register: the way from all counters to whoever waits is long.
        ended = delayed(m, self.running & finished, f"{self._name}_ended")
        with m.If(start):
            m.d.sync += self.running.eq(1)
        with m.Elif(self.running & ended):
            m.d.sync += self.running.eq(0)
        return self.running | start

"""Steps of a dynamics unit: the word of one, and how programs are made of them.

A step is one line of a law: two operands, a sum, difference or product, a right shift that rounds,
a width to which the result saturates, and where that goes. Steps are done for a neuron, then for
the next one; a step that ends a pass over the neurons says where the next pass begins.

What a step writes to memory, the next one does not read: that comes a cycle too late.
"""

from enum import IntEnum
from typing import NamedTuple

from amaranth.lib import data

from ohmgrid.host.unit import Register, Shift

__all__ = ["BITS", "STEP_BITS", "Into", "Kind", "Of", "Programs", "Step", "When", "step_layout"]


class Kind(IntEnum):
    """What is done with two operands."""

    ADD = 0
    SUBTRACT = 1
    MULTIPLY = 2
    MULTIPLY_ADD = 3
    """The product and the sum before this step."""
    DIVIDE = 4
    """The last product over the second operand: the floor, 17 bits."""


class Of(IntEnum):
    """Where the first operand is; the second one is a register."""

    REGISTER = 0
    STATE = 1
    """A `Variable` of this neuron."""
    NODE = 2
    """A node of the function's table: the one below the pointer, or above."""
    PART = 3
    """How far the pointer is from the node below."""
    RING = 4
    """Output of this line, as old as the pointer says; or one sample older."""
    FRACTION = 5
    """The part of a sample of the pointer's delay."""
    SUM = 6
    """What the crossbar gives."""
    EVENT = 7
    """1 if this neuron gets an event in this sample."""


class Into(IntEnum):
    """Where the result goes."""

    NOTHING = 0
    REGISTER = 1
    STATE = 2
    RING = 3
    """This sample's output of this line."""
    POINTER = 4
    CROSSBAR = 5


class When(IntEnum):
    """Which results jump: bits."""

    NEVER = 0
    NEGATIVE = 1
    ZERO = 2
    POSITIVE = 4
    ALWAYS = 7


BITS = ("whole", "out", "pre", "span", "state", "edge")
"""Widths to which results saturate; the first one: not at all."""
SHIFT_BITS = 6
STEP_BITS = 7
"""Of a step's number."""
NUMBER_BITS = 5


class Step(NamedTuple):
    """One step; fields are those of `step_layout`."""

    kind: Kind = Kind.ADD
    of: Of = Of.REGISTER
    a: int = Register.ZERO
    a_pieces: int = 1
    b: int = Register.ZERO
    b_pieces: int = 1
    table: int = 0
    shift: int = 0
    bits: str = "whole"
    into: Into = Into.NOTHING
    number: int = 0
    send: int = 0
    spike: int = 0
    when: int = When.NEVER
    to: str = ""
    ends: int = 0
    sample: int = 0


def step_layout() -> data.StructLayout:
    """Return the layout of a step.

    ``kind``, ``of``, ``a``, ``b``: operation and operands; ``a_pieces``, ``b_pieces``: pieces of
    the factors, less one; ``table``, ``shift``: the shift is that of the host's table, or itself;
    ``bits``: place in `BITS`; ``into``, ``number``: where the result goes; ``send``, ``spike``: it
    is sent, as that of a neuron that spikes; ``when``, ``to``: when another step than the next one
    follows, which; ``ends``: this neuron's pass is over, and ``to`` is where the next pass begins;
    ``sample``: that was the last pass of the sample.
    """
    return data.StructLayout(
        {
            "kind": 3,
            "of": 3,
            "a": NUMBER_BITS,
            "a_pieces": 2,
            "b": NUMBER_BITS,
            "b_pieces": 1,
            "table": 1,
            "shift": SHIFT_BITS,
            "bits": 3,
            "into": 3,
            "number": NUMBER_BITS,
            "send": 1,
            "spike": 1,
            "when": 3,
            "to": STEP_BITS,
            "ends": 1,
            "sample": 1,
        }
    )


class Programs:
    """Steps one after another, with names for places among them.

    Attributes
    ----------
    places : dict of str to int
    """

    def __init__(self) -> None:
        self._steps: list[Step] = []
        self.places: dict[str, int] = {}

    def place(self, name: str) -> None:
        """Give the next step a name."""
        self.places[name] = len(self._steps)

    def words(self) -> list[dict[int | str, int]]:
        """Return the steps as fields of `step_layout`."""
        return [
            {
                **step._asdict(),
                "a_pieces": step.a_pieces - 1,
                "b_pieces": step.b_pieces - 1,
                "bits": BITS.index(step.bits),
                "to": self.places[step.to] if step.to else 0,
            }
            for step in self._steps
        ]

    def do(
        self,
        kind: Kind,
        a: int | tuple[Of, int],
        b: int = Register.ZERO,
        into: int | tuple[Into, int] = (Into.NOTHING, 0),
        *,
        pieces: tuple[int, int] = (1, 1),
        shift: int | Shift = 0,
        bits: str = "whole",
        send: bool = False,
        spike: bool = False,
        when: int = When.NEVER,
        to: str = "",
    ) -> None:
        """Add a step.

        Parameters
        ----------
        kind : Kind
        a : int or (Of, int)
            A register, or where else, and which.
        b : int
            A register.
        into : int or (Into, int)
            A register, or where else, and which.
        pieces : (int, int)
            Pieces of 17 bits, with the sign 18 of the last one, that the factors have.
        shift : int or Shift
            Bits, or an entry of the host's table.
        bits : str
            Of `BITS`.
        send, spike : bool
        when : int
            Bits of `When`.
        to : str
            Name of a place.
        """
        of, first = (Of.REGISTER, a) if isinstance(a, int) else a
        goes, number = (Into.REGISTER, into) if isinstance(into, int) else into
        self._steps.append(
            Step(
                kind,
                of,
                int(first),
                pieces[0],
                int(b),
                pieces[1],
                int(isinstance(shift, Shift)),
                int(shift),
                bits,
                goes,
                int(number),
                int(send),
                int(spike),
                int(when),
                to,
            )
        )

    def end(self, to: str, sample: bool) -> None:
        """Let the last step end the pass; the next one begins at a place."""
        self._steps[-1] = self._steps[-1]._replace(to=to, ends=1, sample=int(sample))

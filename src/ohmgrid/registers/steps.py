"""The step table: what is done for an example, in which order, as data that a host loads.

A step is one verb with its operands, `STEP_BITS` bits. Training, testing and mixed runs with a host
are tables (`ohmgrid.registers.orders`); the golden interpreter is
`ohmgrid.model.core.sequencer`, the gateware's `ohmgrid.hdl.core.sequencer`. Standard library only.

Fields that no table here needs yet are for weights of several arrays (``sum``, ``sign``), vector
arithmetic (``b``, ``rep``) and counters (``bump``): they must be 0.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import IntEnum

__all__ = [
    "APART",
    "IDLE_STEPS",
    "IF_DUE",
    "MOST_SCALES",
    "MOST_STEPS",
    "SKIPPED",
    "SLOT",
    "STEP_BITS",
    "WIDTHS",
    "Bank",
    "Func",
    "Step",
    "StepVerb",
    "Until",
    "vector",
]

MOST_STEPS = 128
"""Steps of a table."""
IDLE_STEPS = 2 * MOST_STEPS
"""Steps without another example, taken or drained, after which a table is taken for one that never
ends."""
SLOT, APART = 1, 2
"""`Step.index`: vectors of the slot at work, or of one of their own: those of transfers between two
arrays of a weight."""
IF_DUE = 1
"""`Step.cond` of what is done only if the last PULSE made a transfer due."""
MOST_SCALES = 64
"""Scales that steps can name."""


class StepVerb(IntEnum):
    """What a step does. Numbers without a name are free, or kept for what is to come: outer
    products, resets, vector and scalar arithmetic."""

    END = 0
    """The run is over."""
    TAKE = 1
    """The next example: its label, and its inputs, with the always-on one behind them, to ``dst``.
    With ``cond`` 1 nothing is done if there is none; planned updates that follow need not wait."""
    MAC = 2
    """``array`` multiplies the vector ``a``; results go through ``func`` to ``dst``, if there is
    one."""
    PLAN = 3
    """The next update of ``array`` is with the vectors ``a`` and ``b`` as they are now: its trains
    are made while other verbs are at work. Nothing is planned where trains may be longer than a
    chunk of 31 slots, and what was is void after a LOOP that is about slots."""
    PULSE = 4
    """``array`` is updated by coincident pulses of ``a`` (activations) and ``b`` (errors), or as
    was planned."""
    WRITE = 5
    """``array`` is pulsed so, and no time passes: cells neither leak nor are refreshed."""
    LINE = 6
    """1.0 on the line of the column of ``array`` that is to be read next, 0 on all others, to
    ``dst``."""
    AGE = 7
    """Time passes for ``array`` as after an update."""
    LOSS = 12
    """From the results of the last MAC to errors in ``dst``, and to the example's answer."""
    SEND = 13
    """The results of the last MAC go to the host; `APART`, those of a fast array to its buffers."""
    WAIT = 14
    """Errors come from the host, to ``dst``; `APART`, they are the pulses that buffers asked for
    last."""
    COUNT = 15
    """The example's answer goes to the host."""
    LOOP = 16
    """Go back to step ``dst``, if ``cond`` says so."""


SKIPPED = (StepVerb.MAC, StepVerb.LINE, StepVerb.WRITE, StepVerb.SEND, StepVerb.WAIT)
"""Verbs that a build with transfers may do only `IF_DUE`."""


class Bank(IntEnum):
    """Where a vector is."""

    NONE = 0
    X = 1
    """Activations of an array: what its columns take."""
    D = 2
    """Errors of an array: what its rows take."""


class Func(IntEnum):
    """What is made of the results of a multiplication (`ohmgrid.hdl.periphery.functions`); bits 3
    and 4 of a step's field are the activation."""

    VALUE = 0
    """Activations of results."""
    BELOW = 1
    """Errors at the outputs of the layer below, of results of a backward pass."""
    SHARE = 2
    """Exponentials of the distances from the largest result: softmax with cross-entropy."""
    SQUARED = 3
    """Errors of outputs under a squared error."""


class Until(IntEnum):
    """When a LOOP goes back; `FILLED` and `DRAINED` are about the slots of a mini-batch."""

    ALWAYS = 0
    FILLED = 1
    """There is an example more, and room for it in the mini-batch: the next slot is at work then.
    Else the first one is."""
    DRAINED = 2
    """There is a slot more that was filled: it is at work then. Else the first one is, and the
    mini-batch is empty."""
    EXAMPLES = 3
    """There is an example more."""
    TAKEN = 4
    """The last TAKE found one."""


WIDTHS: Mapping[str, int] = {
    **{"verb": 5, "array": 5, "way": 2, "sum": 2, "a": 8, "b": 8, "dst": 8},
    **{"index": 3, "sign": 3, "func": 5, "coef": 6, "bump": 3, "cond": 6, "rep": 4},
}
"""Fields of a step in their order, and their widths."""

STEP_BITS = sum(WIDTHS.values())
ARRAY_BITS = WIDTHS["array"]


def vector(bank: Bank, array: int) -> int:
    """Return the number of a vector of an array, as steps name it."""
    return int(bank) << ARRAY_BITS | array


@dataclass(frozen=True)
class Step:
    """One step; a field that a verb does not know must be 0.

    Raises
    ------
    ValueError
        If a value does not fit its field.
    """

    verb: int = StepVerb.END
    array: int = 0
    """Entry of the array table."""
    way: int = 0
    """0: forward, 1: backward."""
    sum: int = 0
    a: int = 0
    """Vector, see `vector`."""
    b: int = 0
    dst: int = 0
    """Vector, or a step's number."""
    index: int = 0
    """1: vectors are those of the slot at work; `APART`: of a slot of their own, behind all those
    of examples. A forward MAC writes what it read there with the other sign, as errors."""
    sign: int = 0
    func: int = 0
    """`Func`, and the activation's number in `ohmgrid.registers.layers.ACTIVATIONS` times 8."""
    coef: int = 0
    """Which scale."""
    bump: int = 0
    cond: int = 0
    """`Until`; of `SKIPPED` verbs `IF_DUE` or 0."""
    rep: int = 0

    def __post_init__(self) -> None:
        for field in fields(self):
            value, bits = getattr(self, field.name), WIDTHS[field.name]
            if not 0 <= value < 1 << bits:
                raise ValueError(f"step, {field.name}: expected {bits} bits, got {value}")

    def pack(self) -> int:
        """Return the step as one integer of `STEP_BITS` bits."""
        word = place = 0
        for name, bits in WIDTHS.items():
            word |= int(getattr(self, name)) << place
            place += bits
        return word

    @classmethod
    def unpack(cls, word: int) -> "Step":
        """Return the step of an integer."""
        values, place = {}, 0
        for name, bits in WIDTHS.items():
            values[name] = word >> place & (1 << bits) - 1
            place += bits
        return cls(**values)

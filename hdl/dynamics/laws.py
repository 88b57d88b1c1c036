"""What a dynamics unit does for a sample: the laws of `ohmgrid.model.dynamics.laws` in steps."""

from ohmgrid.hdl.dynamics.steps import Into, Kind, Of, Programs, When
from ohmgrid.host.unit import Program, Register, Shift, Variable
from ohmgrid.registers.dynamics import (
    COEFFICIENT_FRAC,
    CUBE_FRAC,
    DELAY_FRAC,
    PART_BITS,
    STATE_FRAC,
    THIRD_FRAC,
    TIMER_FRAC,
)

__all__ = ["ENTRIES", "programs"]

ADD, SUBTRACT, MULTIPLY, MULTIPLY_ADD, DIVIDE = Kind
ZERO, ONE = Register.ZERO, Register.ONE
FIRST, SECOND, THIRD, FOURTH, FIFTH, SIXTH, SEVENTH, EIGHTH, NINTH = range(
    Register.TEMPORARY, Register.TEMPORARY + 9
)
"""Temporary registers."""
ENTRIES = {
    Program.NETWORK: "outputs",
    Program.NETWORK_OUTSIDE: "outputs-outside",
    Program.FHN: "fhn",
    Program.LIF: "lif",
}
"""Where each program begins."""


def programs() -> Programs:
    """Return all programs of a unit."""
    made = Programs()
    for outside in (False, True):
        _outputs(made, "-outside" if outside else "", outside)
    _fhn(made)
    _lif(made)
    return made


def _state(variable: Variable) -> tuple[Of, int]:
    return Of.STATE, variable


def _keep(variable: Variable) -> tuple[Into, int]:
    return Into.STATE, variable


def _outputs(made: Programs, name: str, outside: bool) -> None:
    """Add a network's two passes: `output` and `delayed`, then `as_state` and `advanced`."""
    made.place(f"outputs{name}")
    pointer = Into.POINTER, 0
    u, y = Variable.U, Variable.Y
    made.do(
        MULTIPLY, _state(u), Register.GAIN, pointer, pieces=(2, 2), shift=Shift.GAIN, bits="pre"
    )
    below, rise = FIRST, SECOND
    made.do(ADD, (Of.NODE, 0), ZERO, below)
    made.do(SUBTRACT, (Of.NODE, 1), below, rise)
    made.do(MULTIPLY, (Of.PART, 0), rise, rise, pieces=(1, 2), shift=PART_BITS)
    made.do(ADD, rise, below, (Into.RING, 0))
    late, more = FIRST, SECOND
    made.do(ADD, _state(Variable.DELAY), ZERO, pointer)
    made.do(ADD, (Of.RING, 0), ZERO, late)
    made.do(SUBTRACT, (Of.RING, 1), late, more)
    made.do(MULTIPLY, (Of.FRACTION, 0), more, more, pieces=(1, 2), shift=DELAY_FRAC)
    if outside:
        made.do(ADD, more, late, late)
        made.do(ADD, late, ZERO, (Into.CROSSBAR, 0), shift=Shift.DROP, bits="edge")
    else:
        made.do(ADD, more, late, (Into.CROSSBAR, 0), bits="out")
    if outside:
        made.end("states-outside", sample=False)
    else:
        made.end("states", sample=False)
    made.place(f"states{name}")
    old, new, kept = FIRST, SECOND, THIRD
    made.do(
        MULTIPLY,
        (Of.SUM, 0),
        Register.SCALE,
        new,
        pieces=(3, 2 if outside else 1),
        shift=Shift.SCALE,
        bits="state",
    )
    made.do(ADD, _state(u), ZERO, kept)
    made.do(SUBTRACT, _state(y), kept, old)
    made.do(ADD, new, ZERO, _keep(y))
    made.do(SUBTRACT, new, kept, new)
    made.do(MULTIPLY, old, Register.OLD, pieces=(2, 2))
    made.do(MULTIPLY_ADD, new, Register.NEW, new, pieces=(2, 2), shift=Shift.RATE)
    made.do(ADD, new, kept, _keep(u), send=True)
    made.end(f"outputs{name}", sample=True)


def _kicked(made: Programs, variable: int, into: int) -> None:
    """Add to a register what an event adds."""
    made.do(MULTIPLY, (Of.EVENT, 0), Register.KICK, into, pieces=(1, 2))
    made.do(ADD, into, variable, into, bits="span")


def _slopes(made: Programs, v: int, w: int, dv: int, dw: int) -> None:
    """Add `fhn_slopes`: those of v and w into dv and dw, which are others."""
    cube = dw
    made.do(ADD, v, ZERO, cube, shift=STATE_FRAC - CUBE_FRAC)
    made.do(ADD, cube, ZERO, dv)
    made.do(MULTIPLY, cube, cube, cube, pieces=(2, 2), shift=CUBE_FRAC)
    made.do(MULTIPLY, cube, dv, cube, pieces=(2, 2), shift=CUBE_FRAC)
    made.do(
        *(MULTIPLY, cube, Register.THIRD, cube),
        pieces=(2, 1),
        shift=THIRD_FRAC + CUBE_FRAC - STATE_FRAC,
    )
    made.do(SUBTRACT, v, cube, dv)
    made.do(SUBTRACT, dv, w, dv)
    made.do(ADD, _state(Variable.CURRENT), dv, dv)
    made.do(MULTIPLY, w, Register.B, dw, pieces=(2, 1), shift=COEFFICIENT_FRAC)
    made.do(SUBTRACT, v, dw, dw)
    made.do(ADD, dw, Register.A, dw)


def _fhn(made: Programs) -> None:
    """Add `fhn_step`."""
    before, v, w, dv, dw, ahead_v, ahead_w, more_v, more_w = range(FIRST, NINTH + 1)
    rate = Register.STEP, Register.RECOVERY
    made.place("fhn")
    made.do(ADD, _state(Variable.V), ZERO, before)
    _kicked(made, before, v)
    made.do(ADD, _state(Variable.W), ZERO, w)
    _slopes(made, v, w, dv, dw)
    made.do(MULTIPLY, dv, rate[0], ahead_v, pieces=(3, 2), shift=Shift.STEP)
    made.do(ADD, ahead_v, v, ahead_v, bits="span")
    made.do(MULTIPLY, dw, rate[1], ahead_w, pieces=(3, 2), shift=Shift.RECOVERY)
    made.do(ADD, ahead_w, w, ahead_w, bits="span")
    _slopes(made, ahead_v, ahead_w, more_v, more_w)
    made.do(ADD, dv, more_v, dv)
    made.do(MULTIPLY, dv, rate[0], dv, pieces=(3, 2), shift=Shift.STEP_MEAN)
    made.do(ADD, dv, v, v, bits="span")
    made.do(ADD, dw, more_w, dw)
    made.do(MULTIPLY, dw, rate[1], dw, pieces=(3, 2), shift=Shift.RECOVERY_MEAN)
    made.do(ADD, dw, w, w, bits="span")
    made.do(SUBTRACT, before, Register.THRESHOLD, when=When.ZERO | When.POSITIVE, to="fhn-quiet")
    made.do(SUBTRACT, v, Register.THRESHOLD, when=When.NEGATIVE, to="fhn-quiet")
    made.do(ADD, v, ZERO, _keep(Variable.V), send=True, spike=True, when=When.ALWAYS, to="fhn-w")
    made.place("fhn-quiet")
    made.do(ADD, v, ZERO, _keep(Variable.V), send=True)
    made.place("fhn-w")
    made.do(ADD, w, ZERO, _keep(Variable.W), send=True)
    made.end("fhn", sample=True)


def _lif(made: Programs) -> None:
    """Add `lif_step`, its choices as jumps: what is chosen alone is computed."""
    v, timer, left, ended, since, moved, free = range(FIRST, SEVENTH + 1)
    made.place("lif")
    made.do(ADD, _state(Variable.TIMER), ZERO, timer)
    made.do(ADD, _state(Variable.V), ZERO, v)
    made.do(SUBTRACT, ONE, timer, left, when=When.NEGATIVE | When.ZERO, to="lif-held")
    # An event is lost on a neuron that was held in this sample.
    made.do(ADD, timer, ZERO, when=When.POSITIVE, to="lif-free")
    made.do(ADD, v, ZERO, ended)
    _kicked(made, ended, v)
    made.place("lif-free")
    made.do(SUBTRACT, _state(Variable.CURRENT), v, moved)
    made.do(MULTIPLY, moved, Register.RATE, moved, pieces=(2, 2), shift=Shift.RATE)
    made.do(MULTIPLY, moved, left, moved, pieces=(2, 1), shift=TIMER_FRAC)
    made.do(ADD, moved, v, ended)
    made.do(ADD, left, ZERO, since)
    made.do(SUBTRACT, v, Register.THRESHOLD, when=When.ZERO | When.POSITIVE, to="lif-spike")
    made.do(SUBTRACT, ended, Register.THRESHOLD, moved, when=When.NEGATIVE, to="lif-quiet")
    # The threshold is above v: less than all of `left` has gone by, and the quotient fits.
    made.do(SUBTRACT, ended, v, free)
    made.do(MULTIPLY, moved, left, pieces=(2, 1))
    made.do(DIVIDE, ZERO, free, since)
    made.place("lif-spike")
    made.do(SUBTRACT, _state(Variable.CURRENT), Register.RESET, moved)
    made.do(MULTIPLY, moved, Register.RATE, moved, pieces=(2, 2), shift=Shift.RATE)
    made.do(SUBTRACT, since, Register.HOLD, free, when=When.ZERO | When.POSITIVE, to="lif-again")
    made.do(SUBTRACT, ZERO, free, _keep(Variable.TIMER))
    made.do(ADD, Register.RESET, ZERO, _keep(Variable.V), send=True, spike=True)
    made.end("lif", sample=True)
    made.place("lif-again")
    made.do(ADD, ZERO, ZERO, _keep(Variable.TIMER))
    made.do(MULTIPLY, moved, free, moved, pieces=(2, 1), shift=TIMER_FRAC)
    made.do(ADD, moved, Register.RESET, _keep(Variable.V), send=True, spike=True)
    made.end("lif", sample=True)
    made.place("lif-held")
    made.do(SUBTRACT, ZERO, left, _keep(Variable.TIMER))
    made.do(ADD, v, ZERO, _keep(Variable.V), send=True)
    made.end("lif", sample=True)
    made.place("lif-quiet")
    made.do(ADD, ZERO, ZERO, _keep(Variable.TIMER))
    made.do(ADD, ended, ZERO, _keep(Variable.V), send=True)
    made.end("lif", sample=True)

"""One sample of systems in continuous time (golden model).

Written for single numbers as well as for arrays: the compiled engine calls these functions. All
numbers are int64; their formats are those of `ohmgrid.registers.dynamics`, equations in
docs/dynamics.md.
"""

from typing import Any

import numpy as np

from ohmgrid.model.base.arith import choose, divide_saturate, saturate, shift_round
from ohmgrid.registers.dynamics import (
    COEFFICIENT_FRAC,
    CUBE_FRAC,
    DELAY_FRAC,
    NODE_BITS,
    PART_BITS,
    PRE_BITS,
    SPAN_BITS,
    STATE_BITS,
    STATE_FRAC,
    THIRD,
    THIRD_FRAC,
    TIMER_FRAC,
)

__all__ = ["advanced", "as_state", "delayed", "fhn_slopes", "fhn_step", "lif_step", "output"]


def output(u: np.ndarray, gain: int, gain_shift: int, nodes: np.ndarray) -> np.ndarray:
    """Return ``f(gain u)``: the table's nodes on either side, a straight line between them.

    Parameters
    ----------
    u : int64
        State.
    gain, gain_shift : int
    nodes : int64, shape (2**NODE_BITS + 1,)
    """
    pre = saturate(shift_round(u * gain, gain_shift), PRE_BITS)
    place = (pre >> PART_BITS) + (1 << (NODE_BITS - 1))
    below = nodes[place]
    rise = (nodes[place + 1] - below) * (pre & ((1 << PART_BITS) - 1))
    return below + shift_round(rise, PART_BITS)


def delayed(late: np.ndarray, early: np.ndarray, part: np.ndarray) -> np.ndarray:
    """Return what lies ``part / 2**DELAY_FRAC`` of a sample before ``late``, towards ``early``."""
    return late + shift_round((early - late) * part, DELAY_FRAC)


def as_state(sums: np.ndarray, scale: int, shift: int) -> np.ndarray:
    """Return what a crossbar gives, ``sums scale / 2**shift``, as a state."""
    return saturate(shift_round(sums * scale, shift), STATE_BITS)


def advanced(u: np.ndarray, y_old: np.ndarray, y_new: np.ndarray, registers: Any) -> np.ndarray:
    """Return the state of a network's neuron one sample later.

    Parameters
    ----------
    u : int64
        State.
    y_old, y_new : int64
        What the crossbar gives now and one sample later.
    registers : with fields of `NetRegisters`
    """
    pull = registers.old * (y_old - u) + registers.new * (y_new - u)
    return u + shift_round(pull, registers.rate_shift)


def fhn_slopes(v: np.ndarray, w: np.ndarray, current: np.ndarray, registers: Any) -> Any:
    """Return ``v - v^3/3 - w + I`` and ``v + a - b w``."""
    short = shift_round(v, STATE_FRAC - CUBE_FRAC)
    cube = shift_round(shift_round(short * short, CUBE_FRAC) * short, CUBE_FRAC)
    third = shift_round(cube * THIRD, THIRD_FRAC + CUBE_FRAC - STATE_FRAC)
    pulled = shift_round(registers.b * w, COEFFICIENT_FRAC)
    return v - third - w + current, v + registers.a - pulled


def fhn_step(
    v: np.ndarray, w: np.ndarray, current: np.ndarray, kick: np.ndarray, registers: Any
) -> Any:
    """Return a FitzHugh-Nagumo neuron one sample later: v, w, and whether it spikes.

    Heun's scheme: slopes here and where a step with them would lead, and a step with their mean.

    Parameters
    ----------
    v, w : int64
        States.
    current : int64
        A state.
    kick : int64
        What an event adds to v at once; 0 without one.
    registers : with fields of `FhnRegisters`
    """
    begun = saturate(v + kick, SPAN_BITS)
    dv, dw = fhn_slopes(begun, w, current, registers)
    ahead_v = saturate(begun + shift_round(registers.step * dv, registers.step_shift), SPAN_BITS)
    ahead_w = saturate(
        w + shift_round(registers.recovery * dw, registers.recovery_shift), SPAN_BITS
    )
    more_v, more_w = fhn_slopes(ahead_v, ahead_w, current, registers)
    rise = shift_round(registers.step * (dv + more_v), registers.step_shift + 1)
    turn = shift_round(registers.recovery * (dw + more_w), registers.recovery_shift + 1)
    next_v = saturate(begun + rise, SPAN_BITS)
    spikes = (v < registers.threshold) & (next_v >= registers.threshold)
    return next_v, saturate(w + turn, SPAN_BITS), spikes


def lif_step(
    v: np.ndarray, timer: np.ndarray, current: np.ndarray, kick: np.ndarray, registers: Any
) -> Any:
    """Return an integrate-and-fire neuron one sample later: V, timer, and whether it spikes.

    A spike is where a straight line from sample to sample crosses the threshold; the rest of that
    sample counts towards the refractory time, and what is left of the sample in which this ends is
    integrated, in proportion.

    Parameters
    ----------
    v : int64
        State.
    timer : int64
        What is left of a refractory time, samples, `TIMER_FRAC` fraction bits; 0: none.
    current : int64
        ``R I``, a state.
    kick : int64
        What an event adds at once; 0 without one. Lost on a neuron that is held.
    registers : with fields of `LifRegisters`
    """
    one, threshold = 1 << TIMER_FRAC, registers.threshold
    held = timer >= one
    begun = choose(timer == 0, saturate(v + kick, SPAN_BITS), v)
    left = choose(held, 0, one - timer)
    pull = shift_round(registers.rate * (current - begun), registers.rate_shift)
    ended = begun + shift_round(pull * left, TIMER_FRAC)
    spikes = ((begun >= threshold) | (ended >= threshold)) & (timer < one)
    beyond = np.maximum(ended - threshold, 0) * left
    crossed = divide_saturate(beyond, np.maximum(ended - begun, 1), TIMER_FRAC + 1)
    since = choose(begun >= threshold, left, np.minimum(crossed, left))
    again = shift_round(registers.rate * (current - registers.reset), registers.rate_shift)
    free = np.maximum(since - registers.hold, 0)
    restarted = registers.reset + shift_round(again * free, TIMER_FRAC)
    next_v = choose(spikes, restarted, ended)
    rest = choose(held, timer - one, 0)
    return next_v, choose(spikes, np.maximum(registers.hold - since, 0), rest), spikes

"""Products with a scale: exact, then shifted right by an amount that a job chooses, and rounded."""

from functools import reduce
from typing import NamedTuple

from amaranth.hdl import Cat, Const, Mux, Value

from ohmgrid.hdl.base.arith import beyond, saturate
from ohmgrid.hdl.base.timed import Stages, Timed

__all__ = ["Rounded", "product_with", "shift_rounded"]

BLOCK_BITS = 18
"""Bits of a factor that one multiplier block takes."""
BLOCK_LEAST = 7
"""A piece of fewer bits is multiplied in LUTs, in as many cycles."""
LEVELS = 2
"""Bits of a shift that one cycle takes."""


def product_with(pipe: Stages, part: str, value: Timed, mantissa: Timed) -> Timed:
    """Return a signed value times an unsigned mantissa, exact, from pieces of 18 bits."""
    bits = len(value.value)
    starts = range(0, bits, BLOCK_BITS)
    pieces = [value.slice(start, min(start + BLOCK_BITS, bits)) for start in starts]
    pieces[-1] = Timed(pieces[-1].value.as_signed(), value.time)
    products = [
        pipe.product(part, f"piece{n}", piece, mantissa, block=len(piece.value) >= BLOCK_LEAST)
        for n, piece in enumerate(pieces)
    ]

    def joined(upper: Timed, lower: Timed) -> Timed:
        def total(upper: Value, lower: Value) -> Value:
            top = (lower[BLOCK_BITS:] + upper)[: len(upper)]
            return Cat(lower[:BLOCK_BITS], top).as_signed()

        return pipe.stage(part, "product", total, upper, lower)

    return reduce(joined, reversed(products))


class _State(NamedTuple):
    """A number on its way through a shifter: its bits, and what went at either end."""

    value: Value
    rest: Value
    lost: Value


class Rounded(NamedTuple):
    """A rounded number that may be too large for its word."""

    value: Timed
    """Signed; of a number that is ``lost`` the sign alone is right."""
    lost: Timed
    """The number is beyond the reach of the shifts."""

    def saturated(self, pipe: Stages, part: str, name: str, bits: int) -> tuple[Timed, Timed]:
        """Return the number clipped to ``+-(2**(bits - 1) - 1)``, and whether it was."""
        clipped = pipe.stage(
            part,
            f"{name}_clipped",
            lambda value, lost: beyond(value, bits) | lost,
            *self,
        )
        number = pipe.stage(
            part,
            name,
            lambda value, clipped: saturate(value, bits, clipped),
            self.value,
            clipped,
        )
        return number, clipped


def _shifted(state: _State, amount: Value, bit: int, reach: int) -> _State:
    """Shift right by ``2**bit`` if that bit of the amount is set.

    ``rest``: anything but 0 was shifted out; ``lost``: the lower bits of the amount cannot bring
    the number back into reach.
    """
    value, rest, lost = state
    step, chosen = 1 << bit, amount[bit]
    rest = rest | (chosen & value[:step].any())
    value = Mux(chosen, value >> step, value)
    # Sign, reach, the fraction bit, and what the rest of the amount still shifts out.
    kept = 1 + reach + 1 + step - 1
    if len(value) > kept:
        sign = value[-1]
        lost = lost | (value[kept - 1 : -1] ^ sign.replicate(len(value) - kept)).any()
        value = Cat(value[: kept - 1], sign).as_signed()
    return _State(value, rest, lost)


def shift_rounded(
    pipe: Stages, part: str, value: Timed, amount: Timed, reach: int, dropped: int = 0
) -> Rounded:
    """Return ``value / 2**(dropped + amount + 1)``, rounded to nearest, ties to even.

    Twin of `ohmgrid.model.base.arith.shift_round`: two levels of the shift a cycle, the largest
    first, so that bits beyond reach go early.

    Parameters
    ----------
    value : Timed
        Signed.
    amount : Timed
        Held.
    reach : int
        Bits of a magnitude that matters.
    dropped : int
        Bits that are shifted out whatever the amount.
    """
    none = Timed(Const(0, 1), value.time, held=True)
    states = [value, none, none]
    levels = list(reversed(range(len(amount.value))))
    for start in range(0, len(levels), LEVELS):

        def step(
            amount: Value, value: Value, rest: Value, lost: Value, start: int = start
        ) -> _State:
            state = _State(value, rest, lost)
            if start == 0 and dropped:
                state = _State(value[dropped:].as_signed(), value[:dropped].any(), lost)
            for bit in levels[start : start + LEVELS]:
                state = _shifted(state, amount, bit, reach)
            return state

        states = [
            pipe.stage(
                part,
                f"{name}{start}",
                lambda *operands, k=k, step=step: step(*operands)[k],
                amount,
                *states,
            )
            for k, name in enumerate(_State._fields)
        ]

    def rounded(value: Value, rest: Value, lost: Value) -> Value:
        floor = value >> 1
        # A lost number keeps its sign.
        return floor + (value[0] & (rest | floor[0]) & ~lost)

    return Rounded(pipe.stage(part, "rounded", rounded, *states), states[-1])

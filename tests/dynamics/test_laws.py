"""Arithmetic of the dynamics unit, its crossbar and its programs."""

import numpy as np
import pytest

from ohmgrid.hdl.dynamics.arithmetic import FIRST_BITS, WORD_BITS, Arithmetic
from ohmgrid.hdl.dynamics.crossbar import Crossbar
from ohmgrid.hdl.dynamics.laws import ENTRIES, programs
from ohmgrid.hdl.dynamics.steps import BITS, STEP_BITS, Kind
from ohmgrid.host.unit import Program
from ohmgrid.model.base.arith import saturate, shift_round
from ohmgrid.registers.dynamics import MATRIX_BITS, OUT_BITS, PRE_BITS, SPAN_BITS, STATE_BITS
from ohmgrid.sim.tables import run_clocked

EDGE_BITS = 16
OF_BITS = 0, OUT_BITS, PRE_BITS, SPAN_BITS, STATE_BITS, EDGE_BITS
WIDTHS: dict[str, int] = dict(zip(BITS, OF_BITS, strict=True))
PIECE = 17


def wanted(value: int, shift: int, bits: str) -> int:
    """Return what is rounded and saturated, by the model."""
    number = np.array(value)
    number = shift_round(number, shift) if shift else number
    return int(saturate(number, width) if (width := WIDTHS[bits]) else number)


def test_sums_products_and_quotients_are_those_of_the_model(rng):
    unit = Arithmetic(EDGE_BITS)

    def number(bits: int) -> int:
        return int(rng.integers(-(1 << (bits - 1)), 1 << (bits - 1))) >> int(rng.integers(bits))

    async def do(ctx, kind: Kind, a: int, b: int, **more: int) -> int:
        for name, value in {"kind": kind, "a": a, "b": b, "start": 1, **more}.items():
            ctx.set(getattr(unit, name), value)
        await ctx.tick()
        ctx.set(unit.start, 0)
        for name in ("a", "b", "shift", "bits", "kind"):
            ctx.set(getattr(unit, name), 1)
        await ctx.tick().until(unit.done)
        return ctx.get(unit.o)

    async def testbench(ctx):
        for _ in range(150):
            shift, bits = int(rng.choice([0, 1, 2, 17, 30])), str(rng.choice(BITS))
            if bits == "whole":
                shift = max(shift, 30)
            rounding = {"shift": shift, "bits": BITS.index(bits)}
            a, b = number(39), number(39)
            if rng.integers(4) == 0:
                a = -b + (1 << shift >> 1)  # a tie
            assert await do(ctx, Kind.ADD, a, b, **rounding) == wanted(a + b, shift, bits)
            assert await do(ctx, Kind.SUBTRACT, a, b, **rounding) == wanted(a - b, shift, bits)
            total = 0
            for kind in (Kind.MULTIPLY, Kind.MULTIPLY_ADD):
                pieces = int(rng.integers(1, 4)), int(rng.integers(1, 3))
                a = number(min(PIECE * pieces[0] + 1, 36))
                b = number(min(PIECE * pieces[1] + 1, 26))
                total += a * b
                if abs(total) >> shift < 1 << (WORD_BITS - 1) or bits != "whole":
                    given = {"a_pieces": pieces[0] - 1, "b_pieces": pieces[1] - 1}
                    found = await do(ctx, kind, a, b, **given, **rounding)
                    assert found == wanted(total, shift, bits)
                else:
                    total = 0
                    await do(ctx, Kind.MULTIPLY, 0, 0, **rounding)
            b = int(rng.integers(1, 1 << 34)) >> int(rng.integers(34))
            b = max(b, 1)
            a, left = int(rng.integers(b)), int(rng.integers(1 << 16))
            whole = {"shift": 0, "bits": 0}
            await do(ctx, Kind.MULTIPLY, a, left, a_pieces=1, b_pieces=0, **whole)
            assert await do(ctx, Kind.DIVIDE, 0, b, **whole) == a * left // b

    run_clocked(unit, testbench)
    assert FIRST_BITS == 3 * PIECE + 1


@pytest.mark.parametrize("lanes", [1, 2, 4])
def test_a_crossbar_multiplies_whatever_its_lanes(lanes, rng):
    crossbar = Crossbar(8, lanes)

    async def testbench(ctx):
        for rows in (1, 3, 8):
            columns = -(-rows // lanes)
            top = 1 << (MATRIX_BITS - 1)
            matrix = np.zeros((rows, columns * lanes), np.int64)
            matrix[:, :rows] = rng.integers(-top, top, (rows, rows))
            ctx.set(crossbar.last, rows - 1)
            ctx.set(crossbar.columns, columns - 1)
            for place, weight in enumerate(matrix.ravel().tolist()):
                ctx.set(crossbar.write, 1)
                ctx.set(crossbar.address, place)
                ctx.set(crossbar.data, weight)
                await ctx.tick()
            ctx.set(crossbar.write, 0)
            for _ in range(3):
                x = rng.integers(-(1 << (OUT_BITS - 1)), 1 << (OUT_BITS - 1), rows)
                for value in x.tolist():
                    ctx.set(crossbar.x.payload, value)
                    ctx.set(crossbar.x.valid, 1)
                    await ctx.tick().until(crossbar.x.ready)
                ctx.set(crossbar.x.valid, 0)
                for wanted in (matrix[:, :rows] @ x).tolist():
                    await ctx.tick().repeat(int(rng.integers(1, 12)))
                    ctx.set(crossbar.y.ready, 1)
                    (found,) = await ctx.tick().sample(crossbar.y.payload).until(crossbar.y.valid)
                    ctx.set(crossbar.y.ready, 0)
                    assert found == wanted

    run_clocked(crossbar, testbench)


def test_every_program_begins_somewhere_and_all_steps_have_a_number():
    made = programs()
    words = made.words()
    assert len(words) <= 1 << STEP_BITS
    assert all(word["to"] < len(words) for word in words)
    # No program runs on into the next one.
    begins = {made.places[ENTRIES[program]] for program in Program}
    assert len(begins) == len(Program)
    assert all(words[begin - 1]["ends"] for begin in begins)

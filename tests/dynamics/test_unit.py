"""The dynamics unit under any pace, on exported Verilog; and what brings it to a core."""

from pathlib import Path

import pytest

from ohmgrid.hdl.dynamics.on_core import ArrayDesk
from ohmgrid.hdl.dynamics.unit import Unit
from ohmgrid.host.protocol import Op, command
from ohmgrid.sim.runner import run_cocotb
from ohmgrid.sim.tables import run_clocked


@pytest.mark.slow
def test_unit():
    sizes = {"neurons": 4, "ring": 64, "lanes": 2, "edge_bits": 14}
    passed = run_cocotb(
        Unit(**sizes),
        Path(__file__).parents[1] / "cocotb_dynamics.py",
        name="dynamics",
        parameters=sizes,
    )
    assert passed == 2


def test_vectors_go_to_a_core_between_what_its_host_asks(rng):
    """A core of the test's own: it doubles a vector, and answers with the number of a command."""
    desk = ArrayDesk(16, 18)
    lines, vectors, asked = 3, 4, 9

    async def give(ctx, port, word):
        await ctx.tick().repeat(int(rng.integers(1, 6)))
        ctx.set(port.payload, word)
        ctx.set(port.valid, 1)
        await ctx.tick().until(port.ready)
        ctx.set(port.valid, 0)

    async def take(ctx, port):
        await ctx.tick().repeat(int(rng.integers(1, 6)))
        ctx.set(port.ready, 1)
        (word,) = await ctx.tick().sample(port.payload).until(port.valid)
        ctx.set(port.ready, 0)
        return word

    async def core(ctx):
        vector = []
        for _ in range(asked + 2 * vectors):
            word = await take(ctx, desk.core_cmd)
            if word == command(Op.LOAD_X):
                vector = [await take(ctx, desk.core_i) for _ in range(lines)]
            elif word == command(Op.FORWARD):
                for value in vector:
                    await give(ctx, desk.core_o, 2 * value)
            await give(ctx, desk.core_r, word & 255)

    async def host(ctx):
        for number in range(asked):
            await give(ctx, desk.cmd, command(100 + number))
            assert await take(ctx, desk.r) == 100 + number

    async def unit(ctx):
        ctx.set(desk.lines, lines)
        # A host's commands have all been answered when vectors come.
        for _ in range(asked):
            await ctx.tick().until(desk.r.valid & desk.r.ready)
        for _ in range(vectors):
            vector = rng.integers(-(1 << 15), 1 << 15, lines).tolist()
            for value in vector:
                await give(ctx, desk.x, value)
            assert [await take(ctx, desk.y) for _ in vector] == [2 * value for value in vector]

    run_clocked(desk, unit, host, core)

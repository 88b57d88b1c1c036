"""Small units in Amaranth's simulator: what a function of values or a pipeline gives for a table.

The table is a mapping from port to column of integers; answers come back in the same form.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from amaranth.hdl import Module, ShapeLike, Signal, Value
from amaranth.lib.wiring import Component
from amaranth.sim import Simulator

__all__ = ["run_clocked", "run_function", "run_pipeline"]


def run_clocked(component: Component, *testbenches: Callable[[Any], Any]) -> None:
    """Run testbenches, asynchronous functions of the simulator's context, until all return.

    In each cycle they run in the order given: who drives comes before who looks.
    """
    simulator = Simulator(component)
    simulator.add_clock(1e-6)
    for testbench in testbenches:
        simulator.add_testbench(testbench)
    simulator.run()


def run_function(
    function: Callable[..., Value], shapes: Sequence[ShapeLike], rows: Sequence[Sequence[int]]
) -> list[int]:
    """Return a combinational function's value for each row of arguments.

    Parameters
    ----------
    function : of as many Amaranth values as there are shapes
    shapes : shapes of the arguments
    rows : arguments
    """
    arguments = [Signal(shape, name=f"argument{n}") for n, shape in enumerate(shapes)]
    value = function(*arguments)
    result = Signal(value.shape())
    m = Module()
    m.d.comb += result.eq(value)
    results = []

    async def testbench(ctx):
        for row in rows:
            for argument, number in zip(arguments, row, strict=True):
                ctx.set(argument, int(number))
            results.append(ctx.get(result))

    simulator = Simulator(m)
    simulator.add_testbench(testbench)
    simulator.run()
    return results


def run_pipeline(
    component: Any,
    columns: Mapping[str, Sequence[int]],
    outputs: Sequence[str],
    constants: Mapping[str, int] | None = None,
) -> dict[str, list[int]]:
    """Feed a pipeline one row a cycle; return what stands on its outputs `latency` cycles later.

    Parameters
    ----------
    component : Component with a ``latency``
    columns : values of input ports, all of one length
    outputs : names of output ports
    constants : values of input ports that stay
    """
    length = len(next(iter(columns.values())))
    results: dict[str, list[int]] = {name: [] for name in outputs}

    async def testbench(ctx):
        for name, value in (constants or {}).items():
            ctx.set(getattr(component, name), int(value))
        for cycle in range(length + component.latency):
            if cycle < length:
                for name, column in columns.items():
                    ctx.set(getattr(component, name), int(column[cycle]))
            if cycle >= component.latency:
                for name in outputs:
                    results[name].append(ctx.get(getattr(component, name)))
            await ctx.tick()

    run_clocked(component, testbench)
    return results

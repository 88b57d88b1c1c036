"""Random designs as shared libraries equal Amaranth's simulator, cycle for cycle."""

from collections import deque
from functools import partial

import numpy as np
import pytest
from amaranth.hdl import Array, Cat, Module, Mux, Signal, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator

from ohmgrid.sim.cxxrtl import activity as cxxrtl_activity
from ohmgrid.sim.cxxrtl import library as cxxrtl
from ohmgrid.sim.cxxrtl import make as cxxrtl_make
from ohmgrid.tools.rtlil import merge_modules


class Part(wiring.Component):
    """Random operations on random widths, in submodules within submodules that read each other."""

    def __init__(self, seed, size):
        self.seed, self.size = seed, size
        super().__init__({"i": In(100), "o": Out(90), "flag": Out(1)})

    def elaborate(self, platform):
        m = Module()
        rng = np.random.default_rng(self.seed)
        places = [m]
        for k in range(6):
            inner, outer = Module(), places[rng.integers(len(places))]
            outer.submodules[f"inner{chr(ord('a') + k)}"] = inner
            places.append(inner)
        # Most of it lies in few of them.
        chances = rng.dirichlet(np.full(len(places), 0.5))
        m.submodules.memory = memory = Memory(shape=70, depth=32, init=range(32))
        read, write = memory.read_port(), memory.write_port(granularity=35)
        pool = deque([self.i, self.i[3:60].as_signed(), self.i[7], read.data], maxlen=40)
        binary = [
            lambda a, b: a + b,
            lambda a, b: a - b,
            lambda a, b: a[:40] * b[:40].as_signed(),
            lambda a, b: a & b,
            lambda a, b: a | b,
            lambda a, b: a ^ b,
            lambda a, b: Cat(a < b, a <= b, a == b, a != b, a >= b, a > b),
            lambda a, b: Cat(b[: len(b) // 2], a, b[len(b) // 2 :], a[-1].replicate(9)),
            lambda a, b: Cat(reversed(list(a))) ^ b,
            lambda a, b: Mux(a[0], a, b),
            lambda a, b: Mux(a[0], ~a, Mux(b[-1], -b, 5)),
            lambda a, b: Cat(a.any(), b.all(), a.xor(), a.bool(), -b, ~a),
            lambda a, b: a ^ 0x5A5A_F00F_1234_5678_9ABC,
            lambda a, b: a << b[:4],
            lambda a, b: a >> b[:6],
            lambda a, b: Array([a, b, ~a, self.i])[b[:2]],
        ]
        for k in range(self.size):
            a, b = (pool[rng.integers(len(pool))] for _ in range(2))
            value = binary[rng.integers(len(binary))](a, b)
            width = int(rng.choice([1, 5, 18, 31, 32, 33, 63, 64, 65, 96]))
            shape = signed(width) if width > 1 and rng.integers(2) else unsigned(width)
            result = Signal(shape, init=int(rng.integers(2)), reset_less=True, name=f"r{k}")
            place = places[rng.choice(len(places), p=chances)]
            if rng.integers(3):
                place.d.sync += result.eq(value)
            else:
                place.d.comb += result.eq(value)
            pool.append(result)
        m.d.comb += [
            read.addr.eq(pool[0]),
            write.addr.eq(pool[1]),
            write.data.eq(Cat(pool[2], pool[3])),
            write.en.eq(pool[4][:2]),
        ]
        # The outputs are registers: a part that is shared rather than flattened.
        low, high = (Signal(bits, init=int(rng.integers(1 << bits))) for bits in (50, 40))
        m.d.sync += [
            Cat(low, high).eq(sum(pool, start=self.i)),
            self.flag.eq(pool[-1][0]),
        ]
        m.d.comb += self.o.eq(Cat(low, high))
        return m


class Whole(wiring.Component):
    """Equal parts in a ring, and a part with a path from input to output in between."""

    def __init__(self, seed, size, parts):
        self.parts = [Part(seed, size) for _ in range(parts)]
        super().__init__({"i": In(100), "o": Out(90), "flags": Out(parts)})

    def elaborate(self, platform):
        m = Module()
        last = self.i
        for k, part in enumerate(self.parts):
            m.submodules[f"part{k}"] = part
            m.d.comb += [part.i.eq(last ^ (self.i >> k)), self.flags[k].eq(part.flag)]
            last = part.o
        m.d.comb += self.o.eq(last + self.i)
        return m


def reference(component, inputs):
    """Outputs in every cycle, before the clock edge, by Amaranth's simulator."""
    outputs = []

    async def bench(ctx):
        for value in inputs:
            ctx.set(component.i, int(value))
            outputs.append((ctx.get(component.o), ctx.get(component.flags)))
            await ctx.tick()

    simulator = Simulator(component)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return outputs


# Unmerged, CXXRTL's own code takes the compiler long: little of it.
@pytest.mark.parametrize(("merge", "size", "parts"), [(True, 25, 3), (False, 2, 1)])
def test_random_designs_equal_amaranths_simulator(tmp_path, monkeypatch, rng, merge, size, parts):
    monkeypatch.setenv("OHMGRID_CACHE", str(tmp_path))
    seed = int(rng.integers(2**32))
    inputs = [int.from_bytes(rng.bytes(13), "little") >> 4 for _ in range(150)]
    expected = reference(Whole(seed, size, parts), inputs)
    made = cxxrtl.Recipe(Whole(seed, size, parts), "whole", merge=merge)
    library = made.build()
    sim = library.instance()
    for cycle, value in enumerate(inputs):
        sim.set("i", value)
        assert (sim.get("o"), sim.get("flags")) == expected[cycle], cycle
        sim.step()
    assert f"SINGLE_PASS {int(merge)}" in (library.folder / "ports.inc").read_text()


@pytest.mark.parametrize("share", [pytest.param(0, marks=pytest.mark.slow), 10**9])
@pytest.mark.parametrize("most", [1, pytest.param(40, marks=pytest.mark.slow)])
def test_what_rests_is_passed_over_without_a_difference(tmp_path, monkeypatch, rng, share, most):
    """Equal, with parts as classes and flattened; every statement may be a group of its own, or
    submodules too small for one are joined with what contains them.
    """
    monkeypatch.setenv("OHMGRID_CACHE", str(tmp_path))
    monkeypatch.setattr(cxxrtl_activity, "WORTH", int(rng.integers(1, most + 1)))
    monkeypatch.setattr(cxxrtl_make, "merge_modules", partial(merge_modules, share=share))
    seed = int(rng.integers(2**32))
    inputs: list[int] = []
    for _ in range(40):
        value = int.from_bytes(rng.bytes(13), "little") >> 4
        inputs += [value] * int(rng.choice([1, 2, 30]))
    expected = reference(Whole(seed, 20, 3), inputs)
    sim = cxxrtl.build(Whole(seed, 20, 3), "whole").instance()
    for cycle, value in enumerate(inputs):
        sim.set("i", value)
        if rng.integers(2):  # what is asked for between the edges must not change what follows
            assert (sim.get("o"), sim.get("flags")) == expected[cycle], cycle
        sim.step()

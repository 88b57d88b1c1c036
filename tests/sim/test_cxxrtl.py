"""The gateware as a shared library equals Amaranth's simulator, cycle for cycle."""

import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from amaranth.hdl import Assert, Module, signed
from amaranth.lib import stream, wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out

from ohmgrid.sim.cxxrtl import library as cxxrtl
from ohmgrid.tools.rtlil import merge_modules
from ohmgrid.tools.toolchain import ToolFailed


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """A cache of this module's own: every first build is one."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("OHMGRID_CACHE", str(folder))
        yield folder


class Queue(wiring.Component):
    """Words of 96 bits through a FIFO, and the sum of narrow ones; refuses a forbidden word."""

    def __init__(self):
        super().__init__(
            {
                "i": In(stream.Signature(96)),
                "narrow": In(stream.Signature(signed(9))),
                "free": In(stream.Signature(8, always_ready=True)),
                "o": Out(stream.Signature(96)),
                "sum": Out(stream.Signature(signed(20))),
                "level": Out(4),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.fifo = fifo = SyncFIFOBuffered(width=96, depth=4)
        m.d.comb += [
            fifo.w_data.eq(self.i.payload ^ (1 << 95)),
            fifo.w_en.eq(self.i.valid),
            self.i.ready.eq(fifo.w_rdy),
            self.o.payload.eq(fifo.r_data),
            self.o.valid.eq(fifo.r_rdy),
            fifo.r_en.eq(self.o.ready),
            self.level.eq(fifo.level),
        ]
        m.d.comb += self.narrow.ready.eq(~self.sum.valid | self.sum.ready)
        with m.If(self.sum.ready):
            m.d.sync += self.sum.valid.eq(0)
        with m.If(self.narrow.valid & self.narrow.ready):
            m.d.sync += [
                self.sum.payload.eq(self.sum.payload + self.narrow.payload),
                self.sum.valid.eq(1),
            ]
        forbidden = self.free.valid & (self.free.payload == 13)
        m.d.sync += Assert(~forbidden, "thirteen")
        return m


@pytest.fixture(scope="module")
def queue(cache):
    return cxxrtl.build(Queue(), "queue")


def words96(rng, count):
    low = rng.integers(0, 2**64, count, np.uint64)
    return np.stack([low, rng.integers(0, 2**32, count, np.uint64)], axis=1)


@pytest.mark.parametrize("idle", [None, 0.3, {"o": 0.9}, {"i": 0.9, "sum": 0.5}])
def test_streams_keep_every_word_in_order(queue, rng, idle):
    sim = queue.instance()
    sim.reset()
    wide, narrow = words96(rng, 50), rng.integers(-256, 256, 70)
    done, cycles = sim.transact(
        {"i": wide, "narrow": narrow}, {"o": 50, "sum": 70}, 2000, idle=idle, seed=5
    )
    assert cycles == sim.cycles - 1
    np.testing.assert_array_equal(done["o"], wide ^ np.array([0, 1 << 31], np.uint64))
    np.testing.assert_array_equal(done["sum"].astype(np.int64), np.cumsum(narrow) % 2**20)
    again = queue.instance()
    again.reset()
    repeated, same = again.transact(
        {"i": wide, "narrow": narrow}, {"o": 50, "sum": 70}, 2000, idle=idle, seed=5
    )
    assert same == cycles
    np.testing.assert_array_equal(repeated["o"], done["o"])


def test_a_stream_without_stalls_moves_a_word_each_cycle(queue):
    sim = queue.instance()
    sim.reset()
    _, cycles = sim.transact({"narrow": np.ones(1000, int)}, {"sum": 1000}, 2000)
    assert cycles == 1001


def test_words_that_nobody_asked_for_wait_for_the_next_call(queue, rng):
    sim = queue.instance()
    sim.reset()
    wide = words96(rng, 4)
    sim.transact({"i": wide}, {}, 100)
    sim.step(10)
    assert sim.get("level") == 4
    first, _ = sim.transact({}, {"o": 1}, 100)
    rest, _ = sim.transact({}, {"o": 3}, 100)
    both = np.concatenate([first["o"], rest["o"]])
    np.testing.assert_array_equal(both, wide ^ np.array([0, 1 << 31], np.uint64))
    sim.transact({"i": wide}, {}, 100)
    sim.reset()
    assert sim.get("level") == 0


def test_instances_are_independent(queue):
    a, b = queue.instance(), queue.instance()
    a.transact({"narrow": [5, 6]}, {"sum": 2}, 100)
    done, _ = b.transact({"narrow": [1, 1]}, {"sum": 2}, 100)
    assert done["sum"].tolist() == [1, 2]
    assert (a.get("sum.payload"), b.get("sum__payload")) == (11, 2)


def test_ports_of_any_width(queue):
    sim = queue.instance()
    sim.set("i.payload", (1 << 95) | 7)
    assert sim.get("i.payload") == (1 << 95) | 7
    sim.set("i.payload", -1)
    assert sim.get("i.payload") == (1 << 96) - 1


def test_timeout_names_the_streams_that_wait(queue):
    sim = queue.instance()
    with pytest.raises(
        TimeoutError, match="after 20 cycles: 4 of 9 words into i, 0 of 2 words out of sum"
    ):
        sim.transact({"i": np.zeros((9, 2), int), "narrow": []}, {"sum": 2}, 20)


def test_failed_assert_is_an_error(queue):
    sim = queue.instance()
    sim.transact({"free": [12, 14]}, {}, 10)
    with pytest.raises(cxxrtl.AssertFailed, match=r"thirteen \(cycle 3\)"):
        sim.transact({"free": [13]}, {}, 10)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda s: s.set("level", 1), ValueError, "expected an input to set, got the output"),
        (lambda s: s.set("nothing", 1), ValueError, "one of the ports .* got 'nothing'"),
        (lambda s: s.set("free.payload", 256), ValueError, "free.payload to fit 8 bits, got 256"),
        (lambda s: s.transact({"o": [1]}, {}, 9), ValueError, "input streams i, narrow, free"),
        (lambda s: s.transact({"i": [1]}, {}, 9), ValueError, r"shape \(n, 2\) for i, got \(1,\)"),
        (lambda s: s.transact({"narrow": [512]}, {}, 9), ValueError, "narrow to fit 9 bits"),
        (lambda s: s.transact({"narrow": [0.5]}, {}, 9), TypeError, "integers for narrow"),
        (lambda s: s.transact({}, {"o": -1}, 9), ValueError, "expected o >= 0, got -1"),
        (lambda s: s.transact({}, {}, 9, idle=1.0), None, ""),
        (lambda s: s.transact({}, {"o": 1}, 9, idle=1.0), ValueError, "less than 1, got 1.0"),
        (lambda s: s.step(-1), ValueError, "expected cycles >= 0, got -1"),
    ],
)
def test_bad_calls(queue, call, error, message):
    sim = queue.instance()
    if error is None:
        call(sim)
        return
    with pytest.raises(error, match=message):
        call(sim)


class Gate(wiring.Component):
    """Without a clock."""

    a: In(4)
    b: In(4)
    o: Out(4)

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.o.eq(self.a & self.b)
        return m


def test_component_without_a_clock(cache):
    sim = cxxrtl.build(Gate(), "gate").instance()
    sim.set("a", 12)
    sim.set("b", 6)
    assert sim.get("o") == 4


def test_merged_modules_do_not_depend_on_numbers_of_nets():
    part = "module \\{0}\n  wire width 1 input 0  \\port${1}$0\n  wire width 1 output 1  \\o\n"
    part += "connect \\o \\port${1}$0\nend\n"
    cell = "  cell \\{0} \\{0}\n    connect \\port${1}$0 1'1\n    connect \\o \\{0}.o\n  end\n"
    text = part.format("a", 17) + part.format("b", 4711)
    text += "module \\top\n" + cell.format("a", 17) + cell.format("b", 4711) + "end\n"
    merged = merge_modules(text, share=0)
    assert merged.count("module ") == 2
    assert merged.count("keep_hierarchy") == 1
    assert merged.count("cell \\a ") == 2
    assert merged.count("connect \\port.0 1'1") == 2


def test_cache_knows_what_is_built(cache, monkeypatch):
    made = cxxrtl.recipe(Gate(), "known")
    assert not made.built
    made.build()
    assert made.built
    assert cxxrtl.recipe(Gate(), "known").built

    def never():
        raise AssertionError("the component is not needed")

    named = cxxrtl.recipe(Gate, "named", identity="Gate()")
    assert not named.built
    named.build()
    found = cxxrtl.recipe(never, "named", identity="Gate()")
    assert found.built
    assert found.build().instance().get("o") == 0
    monkeypatch.setattr(cxxrtl, "FLAGS", (*cxxrtl.FLAGS, "-O2"))
    assert not cxxrtl.recipe(Gate(), "known").built


_GATE = """
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from ohmgrid.sim.cxxrtl import library as cxxrtl, activity as cxxrtl_activity


class Gate(wiring.Component):
    a: In(4)
    o: Out(4)

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.o.eq(~self.a)
        return m


made = cxxrtl.recipe(Gate(), "race")
library = made.build()
assert library.instance().get("o") == 15
print(library.folder.name)
"""


def test_two_processes_build_the_same(tmp_path):
    environment = os.environ | {"OHMGRID_CACHE": str(tmp_path)}
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", _GATE], env=environment, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    names = {racer.communicate(timeout=100)[0].strip() for racer in racers}
    assert [racer.returncode for racer in racers] == [0, 0]
    assert {entry.name for entry in (tmp_path / "cxxrtl").iterdir()} == names
    assert len(names) == 1


def test_missing_compiler_names_the_package(monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(cxxrtl.CompilerMissing, match="apt-get install g\\+\\+"):
        cxxrtl.build(Gate(), "gate")


def test_failed_compiler_shows_its_last_lines(tmp_path, monkeypatch):
    monkeypatch.setenv("OHMGRID_CACHE", str(tmp_path))
    monkeypatch.setenv("CXX", f"{shutil.which('g++') or 'c++'} -fno-such-option")
    with pytest.raises(ToolFailed, match="no-such-option"):
        cxxrtl.build(Gate(), "gate")
    assert list((tmp_path / "cxxrtl").iterdir()) == []


def test_what_is_no_component(cache):
    with pytest.raises(TypeError, match=r"expected an Amaranth wiring\.Component .* got 3"):
        cxxrtl.build(3, "three")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match=r"expected an identifier .* got 'a b'"):
        cxxrtl.build(Gate(), "a b")

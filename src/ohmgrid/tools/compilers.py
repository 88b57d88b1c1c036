"""The compilers of C and C++ of this machine: found by name, run with one clear error.

Environment
-----------
CC
    The C compiler and its first arguments; without it ``gcc``, ``clang`` or ``cc``.
CXX
    The C++ compiler and its first arguments; without it ``g++``, ``clang++`` or ``c++``.
"""

import os
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from ohmgrid.doors.checks import OhmgridError
from ohmgrid.tools.toolchain import ToolFailed, last_lines

__all__ = ["Compiler", "CompilerMissing", "find_compiler"]


class _Language(NamedTuple):
    variable: str
    """Environment variable that names a compiler."""
    commands: tuple[str, ...]
    """What is looked for without it, the preferred one first."""
    package: str
    """Of Debian and Ubuntu."""


_LANGUAGES = {
    "C": _Language("CC", ("gcc", "clang", "cc"), "gcc"),
    "C++": _Language("CXX", ("g++", "clang++", "c++"), "g++"),
}


class CompilerMissing(OhmgridError, RuntimeError):
    """There is no compiler; the message is one line with the command that installs one."""


@dataclass(frozen=True)
class Compiler:
    """A compiler that can be run."""

    command: str
    """The program and its first arguments, as a shell has them."""
    version: str
    """First line of what it says of itself: part of the identity of what it builds."""

    def run(self, arguments: Sequence[str], cwd: Path) -> None:
        """Compile or link.

        Parameters
        ----------
        arguments : sequence of str
        cwd : Path
            Where it runs.

        Raises
        ------
        ToolFailed
            It ended with another status than 0; the message ends with its last lines.
        """
        done = subprocess.run(
            [*shlex.split(self.command), *arguments],
            cwd=cwd,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        if done.returncode:
            end = last_lines(done.stdout + done.stderr)
            raise ToolFailed(f"{self.command} failed (status {done.returncode}):\n{end}")


def find_compiler(language: str) -> Compiler:
    """Return the compiler of ``C`` or ``C++``; raise `CompilerMissing` where there is none."""
    variable, usual, package = _LANGUAGES[language]
    given = os.environ.get(variable, "").strip()
    try:
        commands = [shlex.split(given)] if given else [[name] for name in usual]
    except ValueError as error:
        raise CompilerMissing(f"{variable}={given}: {error}") from None
    for command in commands:
        if shutil.which(command[0]):
            done = subprocess.run(
                [*command, "--version"], capture_output=True, text=True, check=False
            )
            return Compiler(shlex.join(command), done.stdout.partition("\n")[0])
    wanted = (
        f"{variable}={given}: no such program" if given else f"no {language} compiler was found"
    )
    raise CompilerMissing(f"{wanted}: apt-get install {package}")

"""The gateware as a shared library: an Amaranth component, through CXXRTL and a C++ compiler.

A component is built once and kept in the cache; an instance of it runs many clock cycles for each
call. Words go in and out through its streams, all of them at once and each at its own pace
(`Instance.transact`); single ports can be set and read (`Instance.set`, `Instance.get`).

Environment
-----------
CXX
    The C++ compiler and its first arguments; without it ``g++``, ``clang++`` or ``c++``.
OHMGRID_CACHE
    Where builds are kept.
"""

import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import cached_property
from importlib.metadata import version
from pathlib import Path

from amaranth.back import rtlil  # pyright: ignore[reportAttributeAccessIssue]
from amaranth.lib import wiring

import ohmgrid.hdl
import ohmgrid.sim
from ohmgrid.boards import toolchain
from ohmgrid.checks import OhmgridError
from ohmgrid.files import cache_dir

from .cxxrtl_activity import by_activity
from .cxxrtl_instance import AssertFailed, Instance, Ports, load
from .cxxrtl_text import (
    mangled,
    merge_modules,
    name_nets,
    ports_in,
    settle_outputs,
    single_pass,
    specialise,
    unsettled,
)
from .export import ports

__all__ = ["AssertFailed", "CompilerMissing", "Instance", "Library", "Recipe", "build", "recipe"]

_HARNESS = Path(__file__).with_name("cxxrtl_harness.cpp")
# -O3 and -march=native compile longer and run no faster; there are no loops to make vectors of, and
# looking for them takes a quarter of the time.
_FLAGS = (
    *("-std=c++17", "-O2", "-fno-tree-vectorize", "-w"),
    *("-fPIC", "-shared", "-fvisibility=hidden"),
)
_PLAIN = "hierarchy -top top; proc; flatten; opt_clean; write_cxxrtl -g0"
# Nets that are driven piece by piece look like loops to CXXRTL (`splitnets`).
_FLAT = (
    "hierarchy -top top; proc; flatten; opt_expr; opt_merge; opt_clean; splitnets -driver;"
    " opt_clean; write_rtlil"
)
# Net by net: CXXRTL repeats an expression wherever it inlines it, the compiler does not. It inlines
# nothing with a public name (`name_nets`) below -O6.
_NET_BY_NET = "write_cxxrtl -noflatten -O5 -g0"
_LIBRARY = "library.so"


class CompilerMissing(OhmgridError, RuntimeError):
    """There is no C++ compiler; the message is one line with the command that installs one."""


class Library:
    """A component as machine code.

    Parameters
    ----------
    folder : Path
        What `Recipe.build` left in the cache.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self._ports = Ports(json.loads((folder / "ports.json").read_text(encoding="utf-8")))
        self._code = load(folder / _LIBRARY)

    def instance(self) -> Instance:
        """Return a new, independent instance in its power-up state."""
        return Instance(self._code, self._ports)


class Recipe:
    """How a component becomes a `Library`; tells whether that has been done already.

    Parameters
    ----------
    component : wiring.Component or callable
        The component, or what returns it; a callable is not called where `identity` tells that
        the library is there.
    name : str
        For the name of the folder in the cache, and messages.
    identity : str, optional
        Text that, with the sources of this package, says what the component is: its class and its
        parameters. Elaborating a large tile takes seconds; with an identity a built one is found
        at once. Only for components that are part of this package.
    merge : bool
        False flattens all of the design, and runs it in CXXRTL's own way: slow, for comparison.
    """

    def __init__(
        self,
        component: wiring.Component | Callable[[], wiring.Component],
        name: str,
        *,
        identity: str | None = None,
        merge: bool = True,
    ):
        if not (isinstance(component, wiring.Component) or callable(component)):
            raise TypeError(
                f"expected an Amaranth wiring.Component or what returns one, got {component!r}"
            )
        if not name.isidentifier():
            raise ValueError(f"expected an identifier as the name of a library, got {name!r}")
        self.name = name
        self._component = component
        self._identity = identity
        self._merge = merge

    @property
    def built(self) -> bool:
        """Whether `build` only loads; if not, it takes from seconds to a minute."""
        return (self.folder / _LIBRARY).is_file()

    @cached_property
    def folder(self) -> Path:
        """Where the library is or will be: named after all that it depends on."""
        yosys = toolchain.find("yosys", native=False)
        digest = hashlib.sha256()
        subject = self._rtlil if self._identity is None else _sources() + self._identity
        for text in (
            subject,
            _HARNESS.read_text(encoding="utf-8"),
            Path(__file__).read_text(encoding="utf-8"),
            Path(__file__).with_name("cxxrtl_text.py").read_text(encoding="utf-8"),
            Path(__file__).with_name("cxxrtl_activity.py").read_text(encoding="utf-8"),
            yosys.version,
            *_compiler(),
            *_FLAGS,
            str(self._merge),
        ):
            digest.update(text.encode())
            digest.update(b"\0")
        return cache_dir() / "cxxrtl" / f"{self.name}-{digest.hexdigest()[:20]}"

    @cached_property
    def _rtlil(self) -> str:
        component = (
            self._component if isinstance(self._component, wiring.Component) else self._component()
        )
        # Without positions in the source: they differ between copies and between checkouts.
        return rtlil.convert(component, "top", ports=ports(component), emit_src=False)

    def build(self) -> Library:
        """Return the library, built first if it is not in the cache.

        Several processes may do so at the same time: each builds in a folder of its own and the
        first one's is kept.

        Raises
        ------
        CompilerMissing
            No C++ compiler.
        ToolFailed
            Yosys or the compiler failed; the message ends with their last lines.
        """
        if not self.built:
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            work = Path(tempfile.mkdtemp(prefix=f".{self.name}-", dir=self.folder.parent))
            try:
                self._make(work)
                work.chmod(0o755)  # mkdtemp's is private; the cache may be shared
                with suppress(OSError):  # another process was first: its library is the same
                    work.rename(self.folder)
            finally:
                shutil.rmtree(work, ignore_errors=True)
        return Library(self.folder)

    def _make(self, work: Path) -> None:
        design = self._rtlil
        found = ports_in(design)
        if self._merge:
            cpp = _settled(design, work)
            single = single_pass(cpp)
            cpp = specialise(cpp)
            if single and "clk" in found:
                cpp = by_activity(cpp)
        else:
            cpp, single = _yosys(design, _PLAIN, work), False
        (work / "design.cc").write_text(cpp, encoding="utf-8")
        named = {name: port for name, port in found.items() if name not in ("clk", "rst")}
        text = [
            f"#define OHMGRID_SINGLE_PASS {int(single)}",
            f"#define OHMGRID_CLOCKED {int('clk' in found)}",
            f"#define OHMGRID_RESET {int('rst' in found)}",
        ]
        table = {}
        for direction in ("input", "output"):
            members = []
            for name, (way, width) in named.items():
                if way == direction:
                    table[name] = (len(table), way, width)
                    members.append(f"X({mangled(name)})")
            text.append(f"#define OHMGRID_{direction.upper()}S {' '.join(members)}")
        (work / "ports.inc").write_text("\n".join(text) + "\n", encoding="utf-8")
        (work / "ports.json").write_text(json.dumps(table), encoding="utf-8")
        _compile(work)
        # The C++ is as large as the library and can be had again.
        for name in ("in.il", "design.cc"):
            (work / name).unlink(missing_ok=True)


def recipe(
    component: wiring.Component | Callable[[], wiring.Component],
    name: str,
    *,
    identity: str | None = None,
) -> Recipe:
    """Return how `component` becomes a library: ``.built`` tells whether it is one already."""
    return Recipe(component, name, identity=identity)


def build(
    component: wiring.Component | Callable[[], wiring.Component],
    name: str,
    *,
    identity: str | None = None,
) -> Library:
    """Return a component as a library, from the cache or built; see `Recipe`."""
    return Recipe(component, name, identity=identity).build()


def _sources() -> str:
    """Return the hash of every source that a component of this package can depend on."""
    digest = hashlib.sha256(version("amaranth").encode())
    for package in (ohmgrid, ohmgrid.hdl, ohmgrid.sim):
        for source in sorted(Path(package.__path__[0]).glob("*.py")):
            digest.update(source.read_bytes())
    return digest.hexdigest()


def _settled(design: str, work: Path) -> str:
    """Return the design in C++, equal parts shared as far as one evaluation settles it."""
    flat: set[str] = set()
    while True:
        nets = name_nets(_yosys(merge_modules(design, flat=flat), _FLAT, work))
        cpp = settle_outputs(_yosys(nets, _NET_BY_NET, work))
        loose = set(unsettled(cpp))
        kept = set(re.findall(r"(?m)^bool (\w+)::eval\(", cpp)) - {"p_top"}
        if not loose or not kept:
            return cpp
        # Flattened, a path through the same part twice may be no loop at all.
        flat |= loose - {"p_top"} or kept


def _yosys(design: str, script: str, work: Path) -> str:
    """Return what the last command of a script, one that writes a file, makes of a design."""
    (work / "in.il").write_text(design, encoding="utf-8")
    out = work / "design.cc"
    toolchain.run(
        toolchain.find("yosys", native=False),
        ["-q", "-p", f"read_rtlil in.il; {script} {out.name}"],
        cwd=work,
        log=work / "yosys.log",
    )
    return out.read_text(encoding="utf-8")


def _compiler() -> tuple[str, ...]:
    """Return the compiler's command, then the first line of its version."""
    given = os.environ.get("CXX")
    commands = [shlex.split(given)] if given else [["g++"], ["clang++"], ["c++"]]
    for command in commands:
        if shutil.which(command[0]):
            done = subprocess.run(
                [*command, "--version"], capture_output=True, text=True, check=False
            )
            return (shlex.join(command), done.stdout.partition("\n")[0])
    wanted = f"CXX={given}: no such program" if given else "no C++ compiler was found"
    raise CompilerMissing(f"{wanted}: apt-get install g++")


def _compile(work: Path) -> None:
    command, _ = _compiler()
    headers = toolchain.yosys_data() / "include" / "backends" / "cxxrtl" / "runtime"
    done = subprocess.run(
        [*shlex.split(command), *_FLAGS, f"-I{headers}", "-I.", str(_HARNESS), "-o", _LIBRARY],
        cwd=work,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        end = toolchain.last_lines(done.stdout + done.stderr)
        raise toolchain.ToolFailed(f"{command} failed (status {done.returncode}):\n{end}")

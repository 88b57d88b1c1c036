"""The gateware as a shared library: an Amaranth component, through CXXRTL and a C++ compiler.

A component is built once and kept in the cache; an instance of it runs many clock cycles for each
call. Words go in and out through its streams, all of them at once and each at its own pace
(`Instance.transact`); single ports can be set and read (`Instance.set`, `Instance.get`).

Environment
-----------
CXX
    The C++ compiler (`ohmgrid.tools.compilers`).
OHMGRID_CACHE
    Where builds are kept.
"""

import hashlib
import sys
from collections.abc import Callable
from functools import cached_property
from importlib.metadata import version
from pathlib import Path

from amaranth.back import rtlil  # pyright: ignore[reportAttributeAccessIssue]
from amaranth.lib import wiring

from ohmgrid.sim.cxxrtl.instance import AssertFailed, Instance, Ports, load
from ohmgrid.sim.cxxrtl.make import FLAGS, LIBRARY, make_library, read_ports, read_waves
from ohmgrid.storage.published import Shelf
from ohmgrid.storage.sources import fingerprint
from ohmgrid.tools import toolchain
from ohmgrid.tools.compilers import CompilerMissing, find_compiler
from ohmgrid.tools.export import ports

__all__ = ["AssertFailed", "CompilerMissing", "Instance", "Library", "Recipe", "build", "recipe"]

SHELF = Shelf("cxxrtl", keep=64)
"""The library of a tile is some megabytes."""


class Library:
    """A component as machine code.

    Parameters
    ----------
    folder : Path
        What `Recipe.build` left in the cache.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self._ports = Ports(read_ports(folder))
        self._waves = read_waves(folder)
        self._code = load(folder / LIBRARY)

    def instance(self) -> Instance:
        """Return a new, independent instance in its power-up state."""
        return Instance(self._code, self._ports, self._waves)


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
        return SHELF.find(self._place) is not None

    @cached_property
    def _place(self) -> str:
        """Name of the library's folder: a hash of all that it depends on."""
        digest = hashlib.sha256()
        compiler = find_compiler("C++")
        for text in (
            # A component of this package is made by its sources; of any other all is in its RTLIL.
            self._rtlil if self._identity is None else self._identity,
            fingerprint("ohmgrid.hdl", "ohmgrid.sim"),
            version("amaranth"),
            sys.version,
            toolchain.find("yosys", native=False).version,
            compiler.command,
            compiler.version,
            *FLAGS,
            str(self._merge),
        ):
            digest.update(text.encode())
            digest.update(b"\0")
        return f"{self.name}-{digest.hexdigest()[:20]}"

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

        def make(work: Path) -> None:
            make_library(self._rtlil, self.name, work, fast=self._merge)

        return Library(SHELF.publish(self._place, make))


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

"""The engines by name: one interface (`ohmgrid.core.Core`), several implementations.

==========  =====================================================================================
`model`     the golden model: integers in NumPy; it decides every bit
`compiled`  the same loops compiled (numba), and the whole training loop: the fastest
`rtl`       the gateware itself, simulated as a compiled library
`virtual`   a virtual board: all of the gateware, with its link, behind a pseudo-terminal
PORT        a board at a serial port: ``/dev/ttyUSB0``, or with its rate ``/dev/ttyUSB0@115200``
==========  =====================================================================================

An engine is imported when it is asked for, so that the golden model runs without a compiler.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from importlib import import_module

from ohmgrid.config import Config
from ohmgrid.core import Core
from ohmgrid.doors.checks import check_choice
from ohmgrid.host.ports import is_port
from ohmgrid.net import Net

__all__ = ["CHOICES", "ENGINES", "LINKED", "check_engine", "make_core", "start_note", "watch_start"]

ENGINES: dict[str, str] = {
    "model": "ohmgrid.model.core.core:Core",
    "compiled": "ohmgrid.compiled.core:CompiledCore",
    "rtl": "ohmgrid.sim.rtl:RtlCore",
}
"""Engine name -> ``module:class``, called as ``class(config, net, threads)``."""

LINKED = {"virtual": "ohmgrid.sim.virtual:VirtualCore"}
"""The same of engines behind a link of their own: what they compute is what `rtl` computes."""

CHOICES = "|".join((*ENGINES, *LINKED, "PORT"))
"""What an option takes."""


def check_engine(name: str) -> None:
    """Raise `ConfigError` unless ``name`` is an engine."""
    if not is_port(name):
        check_choice("engine", name, (*ENGINES, *LINKED, "PORT"))


def start_note(name: str) -> str:
    """Return the line that prepares a user for a slow first start, or nothing."""
    check_engine(name)
    if name in ("rtl", "virtual"):
        return f"starting engine {name} (its first start builds it: minutes)"
    if name == "compiled" and not import_module("ohmgrid.compiled.jit").is_kept():
        return "compiling the engine (once on this machine: about 20 seconds)"
    return ""


def watch_start(name: str, compiled: Callable[[], object]) -> tuple[int, AbstractContextManager]:
    """Return in how many steps an engine starts, and the context in which each calls ``compiled``.

    0 where nobody knows.
    """
    if name != "compiled":
        return 0, nullcontext()
    jit = import_module("ohmgrid.compiled.jit")
    return jit.FUNCTIONS, jit.watch(compiled)


def make_core(engine: str, config: Config, net: Net, threads: int = 1) -> Core:
    """Return a core of an engine.

    Parameters
    ----------
    engine : str
        A key of `ENGINES` or `LINKED`, or a port.
    config : Config
    net : Net
    threads : int
        For engines that can share the work; no bit depends on it.

    Raises
    ------
    ConfigError
        If there is no such engine, or it cannot hold what is asked for.
    """
    check_engine(engine)
    if is_port(engine):
        return import_module("ohmgrid.gateware.board").BoardCore(config, net, engine)
    module, _, attribute = (ENGINES | LINKED)[engine].partition(":")
    return getattr(import_module(module), attribute)(config, net, threads)

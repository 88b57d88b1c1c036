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
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np

from ohmgrid.config import Config
from ohmgrid.core import Core
from ohmgrid.doors.checks import check_choice
from ohmgrid.dynamics import NetEngine, NeuronsEngine, OnTile
from ohmgrid.host.ports import is_port
from ohmgrid.net import Net
from ohmgrid.systems import DelayNet, Neuron

__all__ = [
    "CHOICES",
    "CONTINUOUS",
    "CONTINUOUS_CHOICES",
    "ENGINES",
    "LINKED",
    "check_engine",
    "make_core",
    "make_network",
    "make_neurons",
    "start_note",
    "watch_start",
]

ENGINES: dict[str, str] = {
    "model": "ohmgrid.model.core.core:Core",
    "compiled": "ohmgrid.compiled.core:CompiledCore",
    "rtl": "ohmgrid.sim.rtl:RtlCore",
}
"""Engine name -> ``module:class``, called as ``class(config, net, threads)``."""

LINKED = {"virtual": "ohmgrid.sim.virtual:VirtualCore"}
"""The same of engines behind a link of their own: what they compute is what `rtl` computes."""

CONTINUOUS = {
    "model": ("ohmgrid.model.dynamics.network:Network", "ohmgrid.model.dynamics.neurons:Neurons"),
    "compiled": (
        "ohmgrid.compiled.dynamics:CompiledNetwork",
        "ohmgrid.compiled.neurons:CompiledNeurons",
    ),
    "rtl": ("ohmgrid.sim.dynamics:RtlNetwork", "ohmgrid.sim.dynamics:RtlNeurons"),
    "virtual": (
        "ohmgrid.sim.virtual_dynamics:VirtualNetwork",
        "ohmgrid.sim.virtual_dynamics:VirtualNeurons",
    ),
}
"""Engines of systems in continuous time: name -> network, single neurons."""

CHOICES = "|".join((*ENGINES, *LINKED, "PORT"))
"""What an option takes."""
CONTINUOUS_CHOICES = "|".join((*CONTINUOUS, "PORT"))
"""What one takes of systems in continuous time."""


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


def _continuous(engine: str, place: int) -> Callable[..., Any]:
    if is_port(engine):
        board = import_module("ohmgrid.gateware.dynamics_board")
        return partial((board.BoardNetwork, board.BoardNeurons)[place], name=engine)
    check_choice("engine", engine, (*CONTINUOUS, "PORT"))
    module, _, attribute = CONTINUOUS[engine][place].partition(":")
    return getattr(import_module(module), attribute)


def make_network(
    engine: str, net: DelayNet, matrix: np.ndarray, crossbar: OnTile | None = None
) -> NetEngine:
    """Return a network with delay on an engine.

    Parameters
    ----------
    engine : str
        A key of `CONTINUOUS`, or a port.
    net : DelayNet
    matrix : float64, shape (lines, lines)
        J.
    crossbar : OnTile, optional
        None: exact.

    Raises
    ------
    ConfigError
        If there is no such engine, or no such network.
    """
    return _continuous(engine, 0)(net, matrix, crossbar)


def make_neurons(
    engine: str, neuron: Neuron, count: int = 1, begin: tuple[float, ...] = ()
) -> NeuronsEngine:
    """Return single neurons on an engine, a key of `CONTINUOUS` or a port.

    Parameters
    ----------
    engine : str
    neuron : Fhn or Lif
    count : int
    begin : tuple of float, optional
        Each variable at the beginning: 0.

    Raises
    ------
    ConfigError
        If there is no such engine, or no such neurons.
    """
    return _continuous(engine, 1)(neuron, count, begin)

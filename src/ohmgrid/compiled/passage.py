"""Examples on their way through a compiled core: `ohmgrid.model.core.passage`, as kernels."""

from collections.abc import Callable, Sequence
from math import ldexp
from typing import NamedTuple, Protocol

import numpy as np

from ohmgrid.compiled.held import hold
from ohmgrid.compiled.jit import distinct, float_of, golden, inner, kernel, settled
from ohmgrid.compiled.layout import WHOLE, Scratch
from ohmgrid.compiled.learning import (
    BACKWARD,
    COUNTERS,
    learn_hidden,
    learn_plain,
    pass_back,
    pass_through,
    plan,
)
from ohmgrid.compiled.network import Network, Signals
from ohmgrid.compiled.noise import op_key
from ohmgrid.compiled.operations import multiply
from ohmgrid.compiled.parts import PLAIN
from ohmgrid.compiled.transfer import Rates
from ohmgrid.model.core.passage import Passage, Way, check_finite
from ohmgrid.model.periphery import ends as golden_ends

__all__ = ["Calls", "CompiledPassage", "Ends", "hold_ends"]

edge_of, exponent_of = golden(golden_ends.edge_of), golden(golden_ends.exponent_of)
FIXED, FREE = range(2)
"""How an exponent is chosen: it is given; by each call."""
NEVER = -(1 << 20)
"""No exponent: nothing was done."""
WITHOUT_SIGN, INFINITE = np.int64((1 << 63) - 1), np.int64(0x7FF << 52)
"""Bits of a float64: all but its sign; infinity, above which there is no number."""


class Ends(NamedTuple):
    """A core as passages need it."""

    net: Network
    work: Scratch
    signals: Signals
    """Of one example: room for its trains."""
    units: np.ndarray
    """float64, shape (2,): LSB of a result of the last tile, and of a backward one of the first."""


class CompiledWay(Way, Protocol):
    """What a passage needs of a compiled core beside that."""

    ends: Ends
    calls: "Calls"
    lines: tuple[int, int, int]

    def settle(self) -> None:
        """Do what is due before a pass and is not for the kernels."""
        ...

    def held_rates(self, rates: tuple[float | None, ...]) -> tuple[Rates, np.ndarray]:
        """Return the registers of updates at a rate for each layer, and which of them learn."""
        ...


def hold_ends(net: Network, work: Scratch, signals: Signals, units: tuple[float, float]) -> Ends:
    """Return them as kernels get them."""
    return hold(Ends(net, work, signals, np.array(units)))


@inner
def _largest_bits(bits):
    """Return the largest of floats' bits without their signs: magnitudes in their order.

    Comparing floats, of which one may be no number, the processor works on one at a time.
    """
    largest = np.int64(0)
    for j in range(np.uint64(len(bits))):
        largest = max(largest, bits[j] & WITHOUT_SIGN)
    return largest


@inner
def _chosen(bits, way, given, frac, top):
    """Return the exponent of a call, of all whose values' bits; `NEVER` where one is not finite."""
    largest = _largest_bits(bits)
    if largest >= INFINITE:
        return NEVER
    return given if way == FIXED else exponent_of(float_of(largest), frac, top)


@inner
def _to_edge(values, factor, top, edge):
    """Write numbers of a caller as they are at the edge."""
    distinct()
    limit = float(top)
    for j in range(np.uint64(len(values))):
        edge[j] = np.int32(edge_of(values[j], factor, limit))


@inner
def _from_edge(results, unit, values):
    """Write results as numbers of a caller."""
    distinct()
    for j in range(np.uint64(len(values))):
        values[j] = results[j] * unit


@kernel
def _go_forward(values, ends, way, x, slope, y):
    """Take examples forward; return their exponent.

    Parameters
    ----------
    values : float64, shape (examples, inputs)
        Without what the always-on input carries, or with it.
    ends : Ends
    way : int
        How the exponent is chosen.
    x : int32, shape (examples, columns of all tiles)
        Filled.
    slope : int32, shape (examples, rows of all tiles)
        Filled.
    y : float64, shape (examples, outputs)
        Filled.
    """
    net, work = ends.net, ends.work
    f = net.functions
    exponent = _chosen(values.reshape(-1).view(np.int64), way, 0, f.x_frac, f.top)
    if exponent == NEVER:
        return exponent
    factor = ldexp(1.0, f.x_frac + exponent)
    unit = ldexp(ends.units[0], -exponent)
    one = np.int32(edge_of(1.0, factor, f.top))
    counts = np.zeros((len(net.layers), COUNTERS), np.int64)
    for b in range(values.shape[0]):
        own, inputs = x[b], values.shape[1]
        _to_edge(values[b], factor, f.top, own)
        if inputs < net.layers[0].cols:
            own[inputs] = one
        pass_through(net, b, own, slope[b], counts, work)
        _from_edge(work.out, unit, y[b])
    for n in range(len(net.layers)):
        net.layers[n].steps[0] += values.shape[0]
    return exponent


@kernel
def _go_back(values, ends, way, given, slope, d, z):
    """Take errors backward; return their exponent.

    Parameters
    ----------
    values : float64, shape (examples, outputs)
    ends : Ends
    way, given : int
        How the exponent is chosen.
    slope : int32, shape (examples, rows of all tiles)
    d : int32, the same shape
        Filled.
    z : float64, shape (examples, inputs), or (0, inputs): the first tile passes nothing back
        Filled.
    """
    net, work = ends.net, ends.work
    f, first = net.functions, net.layers[0]
    exponent = _chosen(values.reshape(-1).view(np.int64), way, given, f.d_frac, f.top)
    if exponent == NEVER:
        return exponent
    factor = ldexp(1.0, f.d_frac + exponent)
    unit = ldexp(ends.units[1], -exponent)
    counts = np.zeros((len(net.layers), COUNTERS), np.int64)
    row = net.layers[len(net.layers) - 1].row
    for b in range(values.shape[0]):
        own = d[b]
        _to_edge(values[b], factor, f.top, own[row:])
        pass_back(net, b, own, slope[b], counts, work)
        if z.shape[0] > 0:
            multiply(
                first.array.seen,
                first.rows,
                first.cols,
                np.True_,
                own,
                net.physics.backward_io,
                first.backward,
                op_key(net.physics.base, BACKWARD, first.number, first.steps[1] + b),
                work,
                work.out,
            )
            _from_edge(work.out, unit, z[b])
    for n in range(len(net.layers)):
        if n > 0 or z.shape[0] > 0:
            net.layers[n].steps[1] += values.shape[0]
    return exponent


@kernel
def _update(ends, rates, learns, x, d):
    """Apply the updates of examples in their order.

    Parameters
    ----------
    ends : Ends
    rates : Rates
    learns : bool, shape (layers,)
    x : int32, shape (examples, columns of all tiles)
    d : int32, shape (examples, rows of all tiles)
    """
    net, work, signals = ends.net, ends.work, ends.signals
    counts = np.zeros((len(net.layers), COUNTERS), np.int64)
    for b in range(x.shape[0]):
        for n in range(len(net.layers)):
            if not learns[n]:
                continue
            if net.way == PLAIN:
                plan(net, n, rates.layers, b, 0, x[b], d[b], signals, counts, work)
                learn_plain(net, n, b, 0, signals, counts, WHOLE, work)
            else:
                learn_hidden(net, n, rates.layers, b, 0, x[b], d[b], signals, counts, work)
    for n in range(len(net.layers)):
        if learns[n]:
            layer = net.layers[n]
            if net.way == PLAIN:
                layer.steps[2] += x.shape[0]
            else:
                layer.hidden.steps[2] += x.shape[0]


class Calls:
    """The kernels as one core calls them: its arguments are always of the same types."""

    def __init__(self) -> None:
        self.forward: Callable[..., int] = settled(_go_forward)
        self.back: Callable[..., int] = settled(_go_back)
        self.update: Callable[..., None] = settled(_update)


class CompiledPassage(Passage):
    """Some examples that have gone forward through a compiled core; see `Passage`."""

    core: CompiledWay

    def _forward(self, x: np.ndarray) -> None:
        core, examples = self.core, len(x)
        core.settle()
        rows, cols, outputs = core.lines
        self._edge_x = np.empty((examples, cols), np.int32)
        self._slope = np.empty((examples, rows), np.int32)
        self.y = np.empty((examples, outputs))
        free = FREE if core.is_linear and len(core.tiles) == 1 else FIXED
        self.exponent = core.calls.forward(x, core.ends, free, self._edge_x, self._slope, self.y)
        check_finite("x", self.exponent != NEVER)

    def _backward(self, d: np.ndarray, to_inputs: bool) -> np.ndarray:
        core, examples = self.core, len(d)
        core.settle()
        self._edge_d = np.empty((examples, core.lines[0]), np.int32)
        z = np.empty((examples if to_inputs else 0, self.inputs))
        way, given = FIXED, 0
        if not self.exact and core.is_linear:
            way = FREE
        elif not self.exact and core.scales_itself:
            given = self._error_exponent(d)
        exponent = core.calls.back(d, core.ends, way, given, self._slope, self._edge_d, z)
        check_finite("d", exponent != NEVER)
        self.error_exponent = exponent
        return z

    def _update(self, rates: Sequence[float | None]) -> None:
        core = self.core
        held, learns = core.held_rates(tuple(rates))
        core.calls.update(core.ends, held, learns, self._edge_x, self._edge_d)

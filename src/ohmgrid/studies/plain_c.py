"""The net in plain C: gradient descent in float without a device, the yardstick of speed.

`plain_sgd.c` is compiled once for this machine and kept in the cache: a library named after its
source, the compiler, the flags and the processor.
"""

import ctypes
import hashlib
import weakref
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
from llvmlite.binding import get_host_cpu_features, get_host_cpu_name

from ohmgrid.net import LOSSES, Net
from ohmgrid.registers.layers import ACTIVATIONS
from ohmgrid.storage.published import Shelf
from ohmgrid.tools.compilers import find_compiler
from ohmgrid.tools.toolchain import ToolFailed

__all__ = ["FLAGS", "PlainNet", "build", "initial_weights", "made_by"]

SOURCE = Path(__file__).with_name("plain_sgd.c")
LIBRARY = "library.so"
FLAGS = ("-std=c11", "-O3", "-march=native", "-ffast-math", "-fPIC")
"""Of the compiler. Not of the linker: with -ffast-math it would add code that lets the whole
process take numbers near zero for zero as soon as the library is loaded."""

SHELF = Shelf("plain-c", keep=8)
"""The library is some kilobytes."""


def _name() -> str:
    """Return the name of the library's folder: a hash of all that it depends on."""
    compiler = find_compiler("C")
    cpu = get_host_cpu_name(), get_host_cpu_features().flatten()
    made_from = SOURCE.read_bytes(), compiler.command, compiler.version, FLAGS, cpu
    return f"plain_sgd-{hashlib.sha256(repr(made_from).encode()).hexdigest()[:20]}"


def _make(work: Path) -> None:
    """Compile the source into a folder, and see that it can be loaded."""
    compiler = find_compiler("C")
    compiler.run([*FLAGS, "-c", str(SOURCE), "-o", "plain_sgd.o"], work)
    compiler.run(["-shared", "plain_sgd.o", "-o", LIBRARY, "-lm"], work)
    try:
        _load(work / LIBRARY)
    except (OSError, AttributeError) as error:
        # Whatever it made instead: nothing of it is kept.
        text = str(error).replace(f"{work}/", "")
        raise ToolFailed(f"{compiler.command}: expected a library, got one with: {text}") from None
    (work / "plain_sgd.o").unlink()


def _load(path: Path) -> ctypes.CDLL:
    """Return a library, its functions typed."""
    code = ctypes.CDLL(str(path))
    net, i32, i64 = ctypes.c_void_p, ctypes.c_int, ctypes.c_int64
    floats = np.ctypeslib.ndpointer(np.float32, flags="C")
    labels = np.ctypeslib.ndpointer(np.int32, flags="C")
    for name, result, arguments in (
        ("new", net, [i32, labels, i32, i32]),
        ("free", None, [net]),
        ("load", None, [net, i32, floats]),
        ("store", None, [net, i32, floats]),
        ("train", None, [net, floats, labels, i64, ctypes.c_float]),
        ("predict", None, [net, floats, labels, i64]),
    ):
        function = getattr(code, f"plain_{name}")
        function.restype, function.argtypes = result, arguments
    return code


def build() -> Path:
    """Return the library, from the cache or built.

    Raises
    ------
    CompilerMissing
        No C compiler.
    ToolFailed
        The compiler failed, or what it made is no library.
    """
    return SHELF.publish(_name(), _make) / LIBRARY


def made_by() -> dict[str, str]:
    """Return the compiler and its flags, for those who read the figures later."""
    compiler = find_compiler("C")
    return {"compiler": f"{compiler.command}: {compiler.version}", "flags": " ".join(FLAGS)}


# One library for the whole process: a file that is mapped must not be mapped again as another.
_library = cache(_load)


def initial_weights(net: Net, seed: int) -> list[np.ndarray]:
    """Return float32 weights of each layer, uniform in ``+-1/sqrt(columns)`` as those of a tile.

    Parameters
    ----------
    net : Net
    seed : int

    Returns
    -------
    list of float32, shape (outputs, inputs + 1)
        The bias is the last column.
    """
    rng = np.random.default_rng(seed)
    return [
        rng.uniform(-1, 1, shape).astype(np.float32) / np.float32(np.sqrt(shape[1]))
        for shape in net.shapes
    ]


class PlainNet:
    """A net that plain C trains.

    Parameters
    ----------
    net : Net
    weights : sequence of float arrays, shape (outputs, inputs + 1)
        One for each layer, the bias in the last column.
    """

    def __init__(self, net: Net, weights: Sequence[np.ndarray]) -> None:
        if [values.shape for values in weights] != net.shapes:
            shapes = [values.shape for values in weights]
            raise ValueError(f"weights: expected shapes {net.shapes}, got {shapes}")
        self._net, self._code = net, _library(build())
        sizes = np.array(net.layers, np.int32)
        functions = ACTIVATIONS.index(net.activation), LOSSES.index(net.loss)
        self._self = self._code.plain_new(len(net.shapes), sizes, *functions)
        if not self._self:
            raise MemoryError(f"{net.cells} weights")
        # Once: at `close`, or when nobody holds this net any more.
        self.close = weakref.finalize(self, self._code.plain_free, self._self)
        for number, values in enumerate(weights):
            self._code.plain_load(self._self, number, np.ascontiguousarray(values, np.float32))

    def _examples(self, pixels: np.ndarray) -> np.ndarray:
        """Return examples as C takes them: nothing there looks how many there are."""
        if pixels.ndim != 2 or pixels.shape[1] != self._net.layers[0]:
            raise ValueError(
                f"pixels: expected shape (examples, {self._net.layers[0]}), got {pixels.shape}"
            )
        return np.ascontiguousarray(pixels, np.float32)

    def train(self, pixels: np.ndarray, labels: np.ndarray, lr: float) -> None:
        """Train on examples, one after the other, in their order.

        Parameters
        ----------
        pixels : floats, shape (examples, inputs)
        labels : integers, shape (examples,)
        lr : float
            Learning rate of an example.
        """
        classes = self._net.layers[-1]
        if labels.shape != pixels.shape[:1] or np.any((labels < 0) | (labels >= classes)):
            raise ValueError(f"labels: expected {len(pixels)} of 0..{classes - 1}")
        labels = np.ascontiguousarray(labels, np.int32)
        self._code.plain_train(self._self, self._examples(pixels), labels, len(labels), lr)

    def predict(self, pixels: np.ndarray) -> np.ndarray:
        """Return the class of each example (int32): the largest result, the first of equals."""
        classes = np.empty(len(pixels), np.int32)
        self._code.plain_predict(self._self, self._examples(pixels), classes, len(classes))
        return classes

    def weights(self) -> list[np.ndarray]:
        """Return a copy of the weights of each layer: float32, shape (outputs, inputs + 1)."""
        found = [np.empty(shape, np.float32) for shape in self._net.shapes]
        for number, values in enumerate(found):
            self._code.plain_store(self._self, number, values)
        return found

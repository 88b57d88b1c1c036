"""How a kernel is compiled: kept on disk, without the interpreter lock, with exact integers.

numba keeps a compiled function until *its own* file changes, and would go on using what it had
inlined from another file. So the cache is a folder named after the content of all kernels.
"""

import hashlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast
from unittest import mock

import numba
from llvmlite import ir
from llvmlite.binding import get_host_cpu_name
from numba import config, njit, types
from numba.extending import intrinsic

import ohmgrid
from ohmgrid.files import cache_dir

__all__ = ["apart", "bit_length", "count_ones", "first_one", "is_kept", "kernel"]

CONSTANTS = (
    "config",
    "curves",
    "device_registers",
    "powers",
    "read_registers",
    "registers",
    "streams",
    "tables",
)
"""Modules whose constants are compiled in."""

Function = TypeVar("Function", bound=Callable[..., Any])


def _fingerprint() -> str:
    """Return a hash of the sources that kernels are compiled from, constants included."""
    shared = Path(ohmgrid.__file__).parent
    here = Path(__file__).parent
    files = [*sorted(here.glob("*.py")), here.parent / "noise.py", here.parent / "trainer.py"]
    files += [shared / f"{name}.py" for name in CONSTANTS]
    tools = (sys.version, numba.__version__, get_host_cpu_name())
    digest = hashlib.sha256(repr(tools).encode())
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def _folder() -> Path:
    """Return where compiled functions are kept."""
    return cache_dir() / "compiled" / _FINGERPRINT


def is_kept() -> bool:
    """Return whether the whole training loop has been compiled before."""
    return any(_folder().glob("**/learning.count_hits-*.nbc"))


_FINGERPRINT = _fingerprint()


def kernel(function: Function) -> Function:
    """Compile a function when it is first called, or take it from the cache."""
    with mock.patch.object(config, "CACHE_DIR", str(_folder())):
        return cast(Function, njit(cache=True, nogil=True, error_model="numpy")(function))


def _count_ones(typingctx, word):
    """Return how many bits of an integer are set."""

    def codegen(context, builder, signature, args):
        return builder.ctpop(args[0])

    return word(word), codegen


def _first_one(typingctx, word):
    """Return the place of the lowest bit that is set (the word is not 0)."""

    def codegen(context, builder, signature, args):
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return word(word), codegen


def _bit_length(typingctx, word):
    """Return the bits of a positive int64."""

    def codegen(context, builder, signature, args):
        zeros = builder.ctlz(args[0], ir.Constant(ir.IntType(1), 0))
        return builder.sub(ir.Constant(ir.IntType(64), 64), zeros)

    return types.int64(types.int64), codegen


def _apart(typingctx):
    """Keep the function that calls this one function of its own: it is not inlined.

    A call costs a tenth of a microsecond, inlined copies of large kernels minutes of compilation.
    """

    def codegen(context, builder, signature, args):
        builder.function.attributes.add("noinline")
        return context.get_dummy_value()

    return types.void(), codegen


# As kernels call them: the typing context is numba's business.
apart = cast(Callable[[], None], intrinsic(_apart))
bit_length = cast(Callable[[Any], Any], intrinsic(_bit_length))
count_ones = cast(Callable[[Any], Any], intrinsic(_count_ones))
first_one = cast(Callable[[Any], Any], intrinsic(_first_one))

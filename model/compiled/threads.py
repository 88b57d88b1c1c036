"""Where the threads of one kernel meet: a barrier that needs no interpreter."""

from collections.abc import Callable
from typing import Any, cast

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ohmgrid.model.compiled.jit import kernel

__all__ = ["barrier"]

PATIENCE = 2000
"""Looks at the barrier before a thread offers its processor to others."""


def _address(context, builder, signature, args):
    """Return a pointer to ``array[index]``."""
    array = context.make_array(signature.args[0])(context, builder, args[0])
    return cgutils.get_item_pointer(context, builder, signature.args[0], array, [args[1]])


def _arrive(typingctx, array, index):
    """Add 1 to an element of an int64 array, at once for all threads; return what it was."""

    def codegen(context, builder, signature, args):
        place = _address(context, builder, signature, args)
        return builder.atomic_rmw("add", place, ir.Constant(ir.IntType(64), 1), "seq_cst")

    return types.int64(array, types.intp), codegen


def _peek(typingctx, array, index):
    """Return an element of an int64 array as other threads left it."""

    def codegen(context, builder, signature, args):
        place = _address(context, builder, signature, args)
        return builder.load_atomic(place, "seq_cst", 8)

    return types.int64(array, types.intp), codegen


def _give_way(typingctx):
    """Let another thread have the processor."""

    def codegen(context, builder, signature, args):
        kind = ir.FunctionType(ir.IntType(32), [])
        builder.call(cgutils.get_or_insert_function(builder.module, kind, "sched_yield"), [])
        return context.get_dummy_value()

    return types.void(), codegen


arrive = cast(Callable[[Any, int], int], intrinsic(_arrive))
peek = cast(Callable[[Any, int], int], intrinsic(_peek))
give_way = cast(Callable[[], None], intrinsic(_give_way))


@kernel
def barrier(sync, threads):
    """Wait until all threads are here.

    Parameters
    ----------
    sync : int64, shape (2,)
        Arrivals so far, and rounds that are complete.
    threads : int
    """
    if threads == 1:
        return
    complete = peek(sync, 1)
    # Arrivals are never reset: the last of a round is known by its number.
    if (arrive(sync, 0) + 1) % threads == 0:
        arrive(sync, 1)
        return
    looks = 0
    while peek(sync, 1) == complete:
        looks += 1
        if looks > PATIENCE:
            give_way()

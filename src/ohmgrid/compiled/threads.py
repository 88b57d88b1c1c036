"""Where the threads of one kernel meet: a barrier that needs no interpreter."""

from collections.abc import Callable
from typing import Any, cast

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ohmgrid.compiled.jit import inner

__all__ = ["GIVEN_UP", "Abandoned", "abandon", "barrier", "new_sync"]

ARRIVALS, ROUNDS, GIVEN_UP = range(3)
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


class Abandoned(RuntimeError):
    """A thread ended, or never began, while others waited for it."""


def new_sync() -> np.ndarray:
    """Return what the threads of one call share: arrivals, complete rounds, given up (int64)."""
    return np.zeros(3, np.int64)


def abandon(sync: np.ndarray) -> None:
    """Make every thread that waits at the barrier, or comes to it, raise `Abandoned`."""
    sync[GIVEN_UP] = 1


@inner
def barrier(sync, threads):
    """Wait until all threads are here.

    Parameters
    ----------
    sync : int64, shape (3,)
        As from `new_sync`.
    threads : int

    Raises
    ------
    Abandoned
        One of them will not come.
    """
    if threads == 1:
        return
    complete = peek(sync, ROUNDS)
    # Arrivals are never reset: the last of a round is known by its number.
    if (arrive(sync, ARRIVALS) + 1) % threads == 0:
        arrive(sync, ROUNDS)
        return
    looks = 0
    while peek(sync, ROUNDS) == complete:
        looks += 1
        if looks > PATIENCE:
            if peek(sync, GIVEN_UP):
                raise Abandoned("a thread of this call has ended with an error")
            give_way()

"""What kernels are handed: named tuples of numbers and arrays, by their address.

A named tuple handed to a kernel is copied number by number, and an array is seven numbers: with all
that a training step needs, a call would cost half a microsecond. So they are laid out once in a
table of 64-bit words, and a kernel gets the table's address; ``work.cell`` reads in it what it
would in the tuple. Kernels take either, but see arrays and numbers as they were when held.

Words: a number is one; an array its address and its shape (it is contiguous); a tuple within what
it holds; a sequence of tuples of one kind the address of their tables, one behind the other, and
their number.
"""

import operator
from collections.abc import Callable
from hashlib import sha256
from typing import Any, NamedTuple, TypeVar, cast

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import AttributeTemplate
from numba.extending import (
    NativeValue,
    infer_getattr,
    intrinsic,
    lower_getattr_generic,
    models,
    overload,
    register_model,
    typeof_impl,
    unbox,
)
from numba.np.arrayobj import populate_array
from numba.np.numpy_support import from_dtype

__all__ = ["hold"]

Tuple = TypeVar("Tuple", bound=NamedTuple)
WORD = ir.IntType(64)


class HeldType(types.Type):
    """A table: names of fields, their types, and where their words begin."""

    def __init__(self, name: str, fields: tuple[tuple[str, types.Type], ...]) -> None:
        self.fields: dict[str, tuple[types.Type, int]] = {}
        self.words = 0
        for field, kind in fields:
            self.fields[field] = kind, self.words
            self.words += _words(kind)
        # Names of functions hold the names of all their arguments' types: short ones.
        inside = ", ".join(f"{field}: {kind}" for field, kind in fields)
        super().__init__(name=f"{name}@{sha256(inside.encode()).hexdigest()[:12]}")


class RowType(types.Type):
    """Tables of one kind, one behind the other."""

    def __init__(self, table: HeldType) -> None:
        self.table = table
        super().__init__(name=f"{table}[]")


def _words(kind: types.Type) -> int:
    if isinstance(kind, HeldType):
        return kind.words
    if isinstance(kind, RowType):
        return 2
    return 1 + kind.ndim if isinstance(kind, types.Array) else 1


class Held:
    """A table and what it points at.

    Attributes
    ----------
    address : int
    kind : HeldType
    """

    def __init__(self, kind: HeldType, words: list[int], parts: Any) -> None:
        self.kind = kind
        self._words = np.array(words, np.uint64)
        self.address = self._words.ctypes.data
        self._parts = parts  # as long as the table points there


def hold(fields: Tuple) -> Tuple:
    """Return a named tuple as kernels get it.

    Its fields are ints, `np.uint64`, contiguous arrays, named tuples of such, and sequences of
    named tuples that are alike.

    Raises
    ------
    TypeError
        For anything else.
    """
    words: list[int] = []
    parts: list[Any] = []
    kind = _lay_out(fields, words, parts)
    return cast(Tuple, Held(kind, words, parts))


def _lay_out(fields: NamedTuple, words: list[int], parts: list[Any]) -> HeldType:
    """Append the words of a tuple, and what they point at; return its type."""
    kinds = []
    for name, value in zip(fields._fields, fields, strict=True):
        kinds.append((name, _field(name, value, words, parts)))
    return HeldType(type(fields).__name__, tuple(kinds))


def _field(name: str, value: Any, words: list[int], parts: list[Any]) -> types.Type:
    if isinstance(value, np.ndarray) and value.flags.c_contiguous:
        words += value.ctypes.data, *value.shape
        parts.append(value)
        return types.Array(from_dtype(value.dtype), value.ndim, "C")
    if isinstance(value, np.integer) and value.dtype == np.uint64:
        words.append(int(value))
        return types.uint64
    if isinstance(value, int) or (isinstance(value, np.integer) and value.dtype == np.int64):
        words.append(int(value) & 0xFFFF_FFFF_FFFF_FFFF)
        return types.int64
    if hasattr(value, "_fields"):
        return _lay_out(cast(Any, value), words, parts)
    if isinstance(value, tuple | list) and value and all(hasattr(v, "_fields") for v in value):
        inside: list[int] = []
        kinds = {_lay_out(part, inside, parts) for part in value}
        if len(kinds) > 1:
            raise TypeError(f"{name}: expected tuples that are alike, got {len(kinds)} kinds")
        (kind,) = kinds
        table = np.array(inside, np.uint64)
        parts.append(table)
        words += table.ctypes.data, len(value)
        return RowType(kind)
    raise TypeError(f"{name}: expected what a kernel can be handed, got {type(value).__name__}")


register_model(HeldType)(models.OpaqueModel)
register_model(RowType)(models.OpaqueModel)


@typeof_impl.register(Held)
def _typeof(value, context):
    return value.kind


@unbox(HeldType)
def _unbox(kind, value, context):
    address = context.pyapi.object_getattr_string(value, "address")
    word = context.pyapi.long_as_ulonglong(address)
    context.pyapi.decref(address)
    pointer = context.builder.inttoptr(word, cgutils.voidptr_t)
    return NativeValue(
        pointer, is_error=cgutils.is_not_null(context.builder, context.pyapi.err_occurred())
    )


@infer_getattr
class _Fields(AttributeTemplate):
    key = HeldType

    def generic_resolve(self, value, attr):
        return value.fields[attr][0] if attr in value.fields else None


def _load(builder, table, place):
    """Return a word of a table. It never changes: stores in between need no second look."""
    word = builder.load(builder.gep(table, [ir.Constant(WORD, place)]))
    word.set_metadata("invariant.load", builder.module.add_metadata([]))
    return word


@lower_getattr_generic(HeldType)
def _get(context, builder, kind, value, attr):
    field, place = kind.fields[attr]
    table = builder.bitcast(value, WORD.as_pointer())
    if isinstance(field, (HeldType, RowType)):
        return builder.bitcast(builder.gep(table, [ir.Constant(WORD, place)]), cgutils.voidptr_t)
    if not isinstance(field, types.Array):
        return _load(builder, table, place)
    array = context.make_array(field)(context, builder)
    item = context.get_abi_sizeof(context.get_data_type(field.dtype))
    shape = [_load(builder, table, place + 1 + axis) for axis in range(field.ndim)]
    strides = [ir.Constant(WORD, item)]
    for size in reversed(shape[1:]):
        strides.insert(0, builder.mul(size, strides[0]))
    data = builder.inttoptr(_load(builder, table, place), array.data.type)
    populate_array(
        array,
        data=data,
        shape=cgutils.pack_array(builder, shape),
        strides=cgutils.pack_array(builder, strides),
        itemsize=item,
        meminfo=None,  # what it points at is kept alive by who holds it
    )
    return array._getvalue()


def _table(typingctx, row, index):
    """Return table ``index`` of a row of tables."""
    if not isinstance(row, RowType):
        return None

    def codegen(context, builder, signature, args):
        kind = signature.args[0]
        words = builder.bitcast(args[0], WORD.as_pointer())
        first = builder.inttoptr(_load(builder, words, 0), WORD.as_pointer())
        place = builder.mul(args[1], ir.Constant(WORD, kind.table.words))
        return builder.bitcast(builder.gep(first, [place]), cgutils.voidptr_t)

    return row.table(row, types.int64), codegen


def _length(typingctx, row):
    def codegen(context, builder, signature, args):
        return _load(builder, builder.bitcast(args[0], WORD.as_pointer()), 1)

    return types.int64(row), codegen


table_of = cast(Callable[[Any, Any], Any], intrinsic(_table))
length_of = cast(Callable[[Any], Any], intrinsic(_length))


@overload(operator.getitem)
def _getitem(row, index):
    if isinstance(row, RowType) and isinstance(index, types.Integer):
        return lambda row, index: table_of(row, index)
    return None


@overload(len)
def _len(row):
    return (lambda row: length_of(row)) if isinstance(row, RowType) else None

"""How a kernel is compiled: kept on disk, without the interpreter lock, with exact integers.

numba keeps a compiled function until *its own* file changes, and would go on using what it had
inlined from another file; it unpickles what it finds, and where it cannot write to the folder that
it is given, it takes what lies beside the sources. So kernels are kept here instead: in a folder of
the cache named after all that they are made from (`ohmgrid.storage.sources`), one sealed file for
each kernel and types of arguments.
"""

import ctypes
import hashlib
import pickle
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

import llvmlite
import numba
import numpy as np
from llvmlite import ir
from llvmlite.binding import Linkage, get_host_cpu_name
from numba import njit, types
from numba.core import event
from numba.core.caching import CompileResultCacheImpl, NullCache
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_machinery import AnalysisPass, register_pass
from numba.core.serialize import dumps
from numba.core.typed_passes import IRLegalization
from numba.extending import intrinsic, register_jitable

from ohmgrid.storage.cache import cache_dir, note
from ohmgrid.storage.published import Shelf, read_sealed, write_sealed
from ohmgrid.storage.sources import fingerprint

__all__ = [
    "FUNCTIONS",
    "INNER",
    "apart",
    "bit_length",
    "count_ones",
    "distinct",
    "first_one",
    "float_of",
    "golden",
    "inner",
    "is_kept",
    "kernel",
    "quotient",
    "settled",
    "watch",
]

_PACKAGE = "ohmgrid.compiled"
SHELF = Shelf("compiled", keep=8)
"""A set of all kernels is about 1.5 MB."""

Function = TypeVar("Function", bound=Callable[..., Any])


@cache
def _name() -> str:
    """Return the name of the kernels' folder: a hash of all that they are made from."""
    tools = (sys.version, numba.__version__, llvmlite.__version__, np.__version__)
    made_from = (*tools, get_host_cpu_name(), fingerprint(_PACKAGE))
    return hashlib.sha256(repr(made_from).encode()).hexdigest()[:20]


def is_kept() -> bool:
    """Return whether the whole training loop has been compiled before."""
    return any(
        next(folder.glob(f"{_PACKAGE}.learning.count_hits-*"), None)
        for folder in SHELF.folders(_name())
    )


FUNCTIONS = 230
"""About how many functions a first start compiles."""


class _Count(event.Listener):
    def __init__(self, compiled: Callable[[], object]) -> None:
        self._compiled = compiled

    def on_start(self, event: Any) -> None:
        pass

    def on_end(self, event: Any) -> None:
        self._compiled()


def watch(compiled: Callable[[], object]) -> AbstractContextManager[None]:
    """Call ``compiled`` after each function that is compiled within the context."""
    return event.install_listener("numba:compile", _Count(compiled))


class _Results(CompileResultCacheImpl):
    """How numba takes a compiled function apart and together; where it is kept is ours."""

    def __init__(self) -> None:
        pass


class _Kept(NullCache):
    """The cache of one kernel, as numba calls it: one file for each signature.

    Parameters
    ----------
    function : callable
        The kernel's Python source.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._name = f"{function.__module__}.{function.__qualname__}"
        self._results = _Results()
        self.file: Path | None = None
        """Where what was loaded or kept last is."""

    def load_overload(self, sig, target_context) -> Any:
        """Return a compiled function, or None."""
        target_context.refresh()
        wanted = self._name, sig, target_context.codegen().magic_tuple()
        for folder in SHELF.folders(_name()):
            content = read_sealed(file := folder / self._file(wanted))
            if content is not None:
                found, result = pickle.loads(content)
                if found == wanted:
                    self.file = file
                    return self._results.rebuild(target_context, result)
        return None

    def save_overload(self, sig, cres) -> None:
        """Keep a compiled function."""
        made_for = self._name, sig, cres.codegen.magic_tuple()
        content = dumps((made_for, self._results.reduce(cres)))
        try:
            folder = SHELF.folder(_name())
            self.file = folder / self._file(made_for)
            write_sealed(self.file, content)
        except OSError as error:  # a full disk: what is compiled runs all the same
            note(f"{cache_dir()}: {error.strerror}; compiled functions are not kept")

    def _file(self, made_for: tuple) -> str:
        """Return the name of the file for a kernel, types of arguments and a processor.

        Text names types well enough for a name, pickles of them differ from process to process;
        what the file was made for stands in it and decides.
        """
        return f"{self._name}-{hashlib.sha256(str(made_for).encode()).hexdigest()[:20]}"


class _NoEnvironment:
    """An inner function has no objects of Python's to find."""

    def set_env(self, name: str, environment: Any) -> None:
        pass


class _InnerLibrary(JITCodeLibrary):
    """The code of an inner function: optimised in each kernel that calls it, and nowhere else.

    numba would make each function whole before it optimises its callers with it once more: at eight
    levels of functions, most of the time that kernels take to compile.
    """

    @property
    def codegen(self) -> Any:
        return _NoEnvironment()

    def get_pointer_to_function(self, name: str) -> int:
        """Return what Python runs in its place: an error."""
        self._ensure_finalized()
        # What numba hands Python is no callable object, which is what this function says then.
        return cast(int, ctypes.cast(ctypes.pythonapi.PyObject_Call, ctypes.c_void_p).value)

    def _optimize_final_module(self) -> None:
        pass

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._finalized = True


class _KernelLibrary(JITCodeLibrary):
    """The code of a kernel with all inner functions that it calls."""

    def _optimize_final_module(self) -> None:
        for function in self._final_module.functions:
            # Nobody else calls this copy: it may be made for its callers here, or vanish in them.
            if not function.is_declaration and function.linkage == Linkage.linkonce_odr:
                function.linkage = "internal"
        super()._optimize_final_module()


class _OpenLibrary(AnalysisPass):
    """Give a function its library before it is lowered."""

    library: type[JITCodeLibrary]

    def __init__(self) -> None:
        AnalysisPass.__init__(self)

    def run_pass(self, state) -> Any:
        state.library = self.library(state.targetctx.codegen(), state.func_id.func_qualname)
        state.library.enable_object_caching()
        return False


@register_pass(mutates_CFG=False, analysis_only=True)
class _OpenInnerLibrary(_OpenLibrary):
    _name = "ohmgrid_open_inner_library"
    library = _InnerLibrary


@register_pass(mutates_CFG=False, analysis_only=True)
class _OpenKernelLibrary(_OpenLibrary):
    _name = "ohmgrid_open_kernel_library"
    library = _KernelLibrary


class _Compiler(CompilerBase):
    """As numba's own, but for the library."""

    opening: type[_OpenLibrary]

    def define_pipelines(self) -> list:
        passes = DefaultPassBuilder.define_nopython_pipeline(self.state)
        passes.add_pass_after(self.opening, IRLegalization)
        passes.finalize()
        return [passes]


class _InnerCompiler(_Compiler):
    opening = _OpenInnerLibrary


class _KernelCompiler(_Compiler):
    opening = _OpenKernelLibrary


INNER: Any = {
    "error_model": "numpy",
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
    "pipeline_class": _InnerCompiler,
    # No arrays are made there, and who calls keeps those that are handed: nobody counts.
    "_nrt": False,
}
"""Options of numba for functions that kernels call."""


KERNEL: Any = {
    "nogil": True,
    "error_model": "numpy",
    "no_cfunc_wrapper": True,
    "pipeline_class": _KernelCompiler,
}


def kernel(function: Function) -> Function:
    """Compile a function that Python calls, when it first does, or take it from the cache.

    Kept are functions of this package.
    """
    compiled = cast(Any, njit)(**KERNEL)(function)
    if function.__module__.startswith(f"{_PACKAGE}."):  # what the folder's name covers
        # What `cache=True` does, with a cache of our own.
        compiled._cache = _Kept(function)
    return cast(Function, compiled)


def settled(compiled: Callable[..., Any]) -> Callable[..., Any]:
    """Return what calls a kernel with arguments of the types that it is first called with.

    numba looks at the types of all arguments at each call, and asks Python about what is held
    (`ohmgrid.compiled.held`), which takes as long as a small layer. Whoever calls answers for the
    types.
    """
    entry: Callable[..., Any] | None = None

    def call(*arguments: Any) -> Any:
        nonlocal entry
        if entry is None:
            entry = cast(Any, compiled).compile(tuple(map(numba.typeof, arguments)))
        return cast(Any, entry)(*arguments)

    return call


def inner(function: Function) -> Function:
    """Compile a function together with the kernels that call it. Python cannot call it."""
    return cast(Function, cast(Any, njit)(**INNER)(function))


def golden(function: Callable[..., Any]) -> Callable[..., Any]:
    """Let kernels call a function of the golden model, compiled with them from its own source.

    It must be written for single numbers too: ``np.minimum`` instead of ``np.clip``, no branch on
    a value that may be an array.
    """
    return cast(Any, cast(Any, register_jitable)(**INNER)(function))


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


def _quotient(typingctx, numerator, denominator):
    """Return ``floor(numerator / denominator)`` by floats; both int64, below 2**52, > 0 the second.

    An integer below 2**52 is what the lowest bits of the float 2**52 + it are: so the processor
    turns many of them into floats, and floats back, at a time, for which it has no instruction.
    """

    def codegen(context, builder, signature, args):
        word, double = ir.IntType(64), ir.DoubleType()
        high = ir.Constant(word, 0x433 << 52)
        shift = ir.Constant(double, float(1 << 52))
        parts = [builder.bitcast(builder.or_(arg, high), double) for arg in args]
        ratio = builder.fdiv(*(builder.fsub(part, shift) for part in parts))
        floor = builder.call(builder.module.declare_intrinsic("llvm.floor", [double]), [ratio])
        return builder.xor(builder.bitcast(builder.fadd(floor, shift), word), high)

    return types.int64(types.int64, types.int64), codegen


def _float_of(typingctx, bits):
    """Return the float64 of which an int64 has the bits."""

    def codegen(context, builder, signature, args):
        return builder.bitcast(args[0], ir.DoubleType())

    return types.float64(types.int64), codegen


def _apart(typingctx):
    """Keep the function that calls this one function of its own: it is not inlined.

    A call costs a tenth of a microsecond, inlined copies of large kernels minutes of compilation.
    """

    def codegen(context, builder, signature, args):
        builder.function.attributes.add("noinline")
        return context.get_dummy_value()

    return types.void(), codegen


def _distinct(typingctx):
    """Say that the arrays handed to the function that calls this share no memory.

    Without it the compiler works on one element at a time wherever a loop looks something up in one
    array and writes to another.
    """

    def codegen(context, builder, signature, args):
        for argument in builder.function.args:
            if isinstance(argument.type, ir.PointerType):
                argument.add_attribute("noalias")
        return context.get_dummy_value()

    return types.void(), codegen


# As kernels call them: the typing context is numba's business.
apart = cast(Callable[[], None], intrinsic(_apart))
bit_length = cast(Callable[[Any], Any], intrinsic(_bit_length))
distinct = cast(Callable[[], None], intrinsic(_distinct))
count_ones = cast(Callable[[Any], Any], intrinsic(_count_ones))
float_of = cast(Callable[[Any], float], intrinsic(_float_of))
first_one = cast(Callable[[Any], Any], intrinsic(_first_one))
quotient = cast(Callable[[Any, Any], Any], intrinsic(_quotient))

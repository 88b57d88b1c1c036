"""One running copy of a component: its clock, its ports, its streams."""

import ctypes
import os
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import ArrayLike

from ohmgrid.sim.cxxrtl.waves import head

__all__ = ["AssertFailed", "Instance", "Ports", "load"]

_TIMEOUT, _FAILED = 1, 2


class AssertFailed(RuntimeError):
    """An ``Assert`` of the gateware does not hold; the instance cannot be used any more."""


class _Stream(ctypes.Structure):
    _fields_ = (
        ("payload", ctypes.c_int32),
        ("valid", ctypes.c_int32),
        ("ready", ctypes.c_int32),
        ("idle", ctypes.c_uint32),
        ("data", ctypes.c_void_p),
        ("count", ctypes.c_uint64),
        ("moved", ctypes.c_uint64),
    )


def load(path: Path) -> ctypes.CDLL:
    """Return the harness of a library, its functions typed."""
    code = ctypes.CDLL(str(path))
    words = ctypes.POINTER(ctypes.c_uint64)
    streams = ctypes.POINTER(_Stream)
    self, u32, u64 = ctypes.c_void_p, ctypes.c_uint32, ctypes.c_uint64
    for name, result, arguments in (
        ("new", self, []),
        ("free", None, [self]),
        ("cycles", u64, [self]),
        ("message", ctypes.c_char_p, [self]),
        ("set", None, [self, u32, words]),
        ("get", ctypes.c_int, [self, u32, words]),
        ("step", ctypes.c_int, [self, u64]),
        ("reset", ctypes.c_int, [self, u64]),
        ("watch", None, [self, ctypes.c_int]),
        ("unwatch", ctypes.c_int, [self]),
        ("transact", ctypes.c_int, [self, streams, u32, streams, u32, u64, u64]),
    ):
        function = getattr(code, f"ohmgrid_{name}")
        function.restype, function.argtypes = result, arguments
    return code


class Ports:
    """The ports of a component, and the streams among them.

    Parameters
    ----------
    table : mapping
        name -> (number, ``input`` or ``output``, width in bits), names as in Verilog
        (``cmd__payload``).
    """

    def __init__(self, table: Mapping[str, tuple[int, str, int]]):
        self._table = dict(table)
        self.inputs: dict[str, int] = {}  # stream that the component reads -> payload's width
        self.outputs: dict[str, int] = {}  # stream that it writes
        for name, (_, way, width) in self._table.items():
            stream, _, part = name.rpartition("__")
            if part == "payload":
                (self.inputs if way == "input" else self.outputs)[stream] = width

    def find(self, name: str) -> tuple[int, str, int]:
        """Return (number, direction, width) of a port."""
        row = self._table.get(name.replace(".", "__"))
        if row is None:
            raise ValueError(f"expected one of the ports {', '.join(self._table)}, got {name!r}")
        return row

    def number(self, name: str) -> int:
        """Return a port's number, -1 for one that is a constant 1."""
        return self._table[name][0] if name in self._table else -1


class Instance:
    """A copy of the component with its own state; made by `Library.instance`.

    Ports are named as in Verilog, ``cmd__payload``, or with a dot, ``cmd.payload``. A call may run
    in any thread, but only one at a time; other threads of Python go on meanwhile.
    """

    def __init__(self, code: ctypes.CDLL, ports: Ports, waves: Sequence[tuple[str, int]] = ()):
        self._code = code
        self._ports = ports
        self._waves = waves
        self._self = code.ohmgrid_new()
        # Also at the interpreter's exit, when this module may be half gone already.
        weakref.finalize(self, code.ohmgrid_free, self._self)

    @property
    def cycles(self) -> int:
        """Clock cycles since power-up, those in reset too."""
        return self._code.ohmgrid_cycles(self._self)

    def reset(self, cycles: int = 1) -> None:
        """Hold the reset for some cycles. Memories keep their content, as in hardware."""
        self._check(self._code.ohmgrid_reset(self._self, _count("cycles", cycles)))

    def step(self, cycles: int = 1) -> None:
        """Run some clock cycles with the inputs as they are."""
        self._check(self._code.ohmgrid_step(self._self, _count("cycles", cycles)))

    @contextmanager
    def waveform(self, file: BinaryIO) -> Iterator[None]:
        """Write what happens meanwhile into a file, as VCD: all ports and registers.

        A cycle takes two units of time; registers change at its beginning, when ``clk`` rises.

        Raises
        ------
        OSError
            The file could not be written.
        """
        file.write(head(self._waves).encode())
        file.flush()
        self._code.ohmgrid_watch(self._self, file.fileno())
        try:
            yield
        finally:
            error = self._code.ohmgrid_unwatch(self._self)
        if error:
            raise OSError(error, os.strerror(error))

    def set(self, port: str, value: int) -> None:
        """Set an input; a negative value in two's complement."""
        number, way, width = self._ports.find(port)
        if way != "input":
            raise ValueError(f"expected an input to set, got the output {port}")
        if not -(1 << (width - 1)) <= value < 1 << width:
            raise ValueError(f"expected {port} to fit {width} bits, got {value}")
        words = (ctypes.c_uint64 * _columns(width))()
        for k in range(len(words)):
            words[k] = (value & ((1 << width) - 1)) >> (64 * k) & (2**64 - 1)
        self._code.ohmgrid_set(self._self, number, words)

    def get(self, port: str) -> int:
        """Return a port's value, unsigned, as it is before the next clock edge."""
        number, _, width = self._ports.find(port)
        words = (ctypes.c_uint64 * _columns(width))()
        self._check(self._code.ohmgrid_get(self._self, number, words))
        return sum(word << (64 * k) for k, word in enumerate(words))

    def transact(
        self,
        inputs: Mapping[str, ArrayLike],
        outputs: Mapping[str, int],
        max_cycles: int,
        idle: float | Mapping[str, float] | None = None,
        seed: int = 1,
    ) -> tuple[dict[str, np.ndarray], int]:
        """Push words into streams and pop words from others until all is done, in one call.

        Streams do not wait for each other. A word once offered stays until it is taken; the
        instance is ready for an output only while more of its words are wanted, so what comes
        later is there for the next call.

        Parameters
        ----------
        inputs : mapping
            Input stream -> words, shape ``(n,)``, or ``(n, 2)`` with the low 64 bits first for a
            payload of more than 64 bits. Negative integers are taken in two's complement.
        outputs : mapping
            Output stream -> number of words.
        max_cycles : int
            Give up after so many.
        idle : float or mapping, optional
            Chance, 0 <= p < 1, that a stream waits a cycle before it offers or accepts a word:
            for all of them, or by name. For tests.
        seed : int
            Of that chance.

        Returns
        -------
        words : dict[str, numpy.ndarray]
            uint64, of the shapes above.
        cycles : int
            Clock cycles that it took.

        Raises
        ------
        TimeoutError
            `max_cycles` are over; says which streams still wait.
        AssertFailed
            The gateware's own check.
        """
        ins, outs, words, status, cycles = self._move(inputs, outputs, max_cycles, idle, seed)
        if status == _TIMEOUT:
            waiting = [
                f"{stream.moved} of {stream.count} words {verb} {name}"
                for verb, names, streams in (
                    ("into", inputs, ins),
                    ("out of", outputs, outs),
                )
                for name, stream in zip(names, streams, strict=True)
                if stream.moved < stream.count
            ]
            raise TimeoutError(f"no end after {max_cycles} cycles: {', '.join(waiting)}")
        return words, cycles

    def pump(
        self, inputs: Mapping[str, ArrayLike], outputs: Mapping[str, int], cycles: int
    ) -> tuple[dict[str, np.ndarray], dict[str, int]]:
        """Move what moves in some clock cycles; fewer, if all has moved before.

        Parameters
        ----------
        inputs : mapping
            As of `transact`; a word that is offered at the end may be offered again, or not.
        outputs : mapping
            Output stream -> most words.
        cycles : int

        Returns
        -------
        words : dict[str, numpy.ndarray]
            uint64, what came.
        taken : dict[str, int]
            Input stream -> words that were taken.

        Raises
        ------
        AssertFailed
            The gateware's own check.
        """
        ins, outs, words, _, _ = self._move(inputs, outputs, cycles, None, 1)
        came = {
            name: words[name][: stream.moved] for name, stream in zip(outputs, outs, strict=True)
        }
        return came, {name: stream.moved for name, stream in zip(inputs, ins, strict=True)}

    def _move(self, inputs, outputs, max_cycles, idle, seed):
        """Push and pop; return the streams, what came, the status and the cycles it took."""
        pushed = [self._input(name, words, idle) for name, words in inputs.items()]
        popped = [self._output(name, count, idle) for name, count in outputs.items()]
        ins = (_Stream * len(pushed))(*(stream for stream, _ in pushed))
        outs = (_Stream * len(popped))(*(stream for stream, _ in popped))
        before = self.cycles
        status = self._code.ohmgrid_transact(
            self._self,
            ins,
            len(ins),
            outs,
            len(outs),
            _count("max_cycles", max_cycles),
            (2 * seed + 1) & (2**64 - 1),  # the generator's state, which is never 0
        )
        if status != _TIMEOUT:
            self._check(status)
        words = {name: data for name, (_, data) in zip(outputs, popped, strict=True)}
        return ins, outs, words, status, self.cycles - before

    def _input(self, name: str, words: ArrayLike, idle) -> tuple[_Stream, np.ndarray]:
        stream, width = self._stream(name, self._ports.inputs, "input", idle)
        if stream.valid < 0:
            raise ValueError(f"expected a stream with a valid signal, got {name}, always valid")
        data = _packed(name, words, width)
        stream.data, stream.count = data.ctypes.data, len(data)
        return stream, data

    def _output(self, name: str, count: int, idle) -> tuple[_Stream, np.ndarray]:
        stream, width = self._stream(name, self._ports.outputs, "output", idle)
        if stream.ready < 0:
            stream.idle = 0  # words of a stream that cannot wait would be lost
        columns = _columns(width)
        shape = (_count(name, count),) if columns == 1 else (_count(name, count), columns)
        data = np.zeros(shape, np.uint64)
        stream.data, stream.count = data.ctypes.data, len(data)
        return stream, data

    def _stream(self, name: str, known: dict[str, int], way: str, idle) -> tuple[_Stream, int]:
        key = name.replace(".", "__")
        if key not in known:
            raise ValueError(f"expected one of the {way} streams {', '.join(known)}, got {name!r}")
        chance = idle.get(name, 0) if isinstance(idle, Mapping) else idle or 0
        if not 0 <= chance < 1:
            raise ValueError(f"expected idle from 0 to less than 1, got {chance}")
        stream = _Stream(
            payload=self._ports.number(f"{key}__payload"),
            valid=self._ports.number(f"{key}__valid"),
            ready=self._ports.number(f"{key}__ready"),
            idle=int(chance * 65536),
        )
        return stream, known[key]

    def _check(self, status: int) -> None:
        if status == _FAILED:
            message = self._code.ohmgrid_message(self._self).decode(errors="replace")
            raise AssertFailed(f"{message} (cycle {self.cycles})")


def _columns(width: int) -> int:
    return (width + 63) // 64


def _count(name: str, value: int) -> int:
    if value < 0:
        raise ValueError(f"expected {name} >= 0, got {value}")
    return int(value)


def _packed(name: str, words: ArrayLike, width: int) -> np.ndarray:
    """Return words as contiguous uint64 columns, after a look at their shape and range."""
    data = np.asarray(words)
    if data.size == 0:
        data = data.astype(np.uint64)
    if data.dtype.kind not in "biu":
        raise TypeError(f"expected integers for {name}, got {data.dtype}")
    columns = _columns(width)
    if data.ndim == 2 and data.shape[1] == columns == 1:
        data = data[:, 0]
    if (columns == 1 and data.ndim != 1) or (
        columns > 1 and (data.ndim != 2 or data.shape[1] != columns)
    ):
        shape = "(n,)" if columns == 1 else f"(n, {columns})"
        raise ValueError(f"expected words of shape {shape} for {name}, got {data.shape}")
    top = data if columns == 1 else data[:, -1]
    bits = width - 64 * (columns - 1)
    if bits < 64 and top.size:
        low, high = int(top.min()), int(top.max())
        if high >= 1 << bits or low < -(1 << (bits - 1)):
            raise ValueError(f"expected {name} to fit {width} bits, got {low} to {high}")
    data = data.astype(np.uint64, order="C")  # a copy: the caller's words stay as they are
    top = data if columns == 1 else data[:, -1]
    top &= np.uint64((1 << bits) - 1)
    return data

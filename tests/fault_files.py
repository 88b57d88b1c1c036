"""Odd files, each made from random numbers: data, checkpoints, measurements, and broken bytes."""

import io
import json
import pickle
import struct
import tempfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from click.testing import CliRunner

from ohmgrid.cli import cli
from ohmgrid.training import runs

__all__ = [
    "CHECKPOINTS", "MEASUREMENTS", "TABLES", "Fault",
    "blobs", "broken", "broken_measurement", "checkpoint", "measurement", "pick",
]  # fmt: skip

T = TypeVar("T")
Maker = Callable[[np.random.Generator], bytes]


@dataclass(frozen=True)
class Fault:
    """An odd input: what is typed in a folder with these files."""

    words: tuple[str, ...]
    files: Mapping[str, bytes] = field(default_factory=dict)
    refused: bool = False
    """Whether there is no way to take it; others may be taken, and are then done."""


def pick(rng: np.random.Generator, things: Sequence[T]) -> T:
    """Return one of some things, as it is (NumPy's choice would make arrays of them)."""
    return things[int(rng.integers(len(things)))]


def broken(rng: np.random.Generator, content: bytes) -> bytes:
    """Return bytes cut, flipped, doubled, or others altogether."""
    data, form = bytearray(content), rng.integers(6)
    if form == 0:
        return bytes(data[: rng.integers(len(data))])
    if form == 1:
        return b""
    if form == 2:
        return rng.bytes(int(rng.integers(1, 500)))
    if form == 3:
        at = int(rng.integers(len(data)))
        return bytes(data[:at] + rng.bytes(int(rng.integers(1, 9))) + data[at:])
    for _ in range(int(rng.integers(1, 9))):
        data[rng.integers(len(data))] ^= 1 << int(rng.integers(8))
    return bytes(data)


def _arrays() -> dict[str, np.ndarray]:
    """Return three kinds of 4x4 images."""
    rng = np.random.default_rng(1)
    labels = np.arange(48) % 3
    images = (rng.random((48, 4, 4)) * 60).astype(np.uint8)
    for row in range(3):
        images[labels == row, row] += 190
    return {
        "train_images": images[:36],
        "train_labels": labels[:36],
        "test_images": images[36:],
        "test_labels": labels[36:],
    }


def _npz(arrays: Mapping[str, Any]) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


@cache
def blobs() -> bytes:
    """Return a small data file."""
    return _npz(_arrays())


ODD_TYPES = ("S3", "U2", "c16", "M8[s]", "m8[s]", "V4", "?", "f2", "g", "i1", ">i4", ">f8", "u8")
ODD_NUMBERS = (np.nan, np.inf, -np.inf, 1e300, -1e300, -1, 70000, 2**63, 1e19, 0.5)


def _odd_array(rng: np.random.Generator) -> bytes:
    """One of the four arrays has another type, shape or value."""
    arrays = _arrays()
    name = pick(rng, list(arrays))
    array, form = arrays[name], rng.integers(5)
    if form == 0:
        arrays[name] = np.zeros(array.shape, pick(rng, ODD_TYPES))
    elif form == 1:
        shapes = ((), (0,), (0, 4, 4), (36,), (36, 0), (1, 1, 1, 1), (36, 5, 5), (12, 16), (35, 4))
        arrays[name] = np.ones(pick(rng, shapes), array.dtype)
    elif form == 2:
        arrays[name] = array.astype(float)
        arrays[name].flat[0] = pick(rng, ODD_NUMBERS)
    elif form == 3:
        kind = np.dtype([("a", "i4"), ("b", "U3")])
        arrays[name] = np.zeros(array.shape, kind)
    else:
        arrays[name] = np.array([1, "a", None, {}], dtype=object)
    return _npz(arrays)


def _other_names(rng: np.random.Generator) -> bytes:
    """Members are missing, or there are others."""
    arrays: dict[str, Any] = dict(_arrays())
    arrays.pop(pick(rng, list(arrays)))
    if rng.integers(2):
        arrays["ab/../c\n"] = np.arange(3)
    return _npz(arrays)


def _archive(members: Mapping[str, bytes], method: int) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def _npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)


def _corrupt_member(rng: np.random.Generator) -> bytes:
    """Compressed bytes are damaged: zlib, bz2 and LZMA each have errors of their own."""
    members = {f"{name}.npy": _npy(array) for name, array in _arrays().items()}
    content = bytearray(_archive(members, pick(rng, METHODS)))
    size = len(content)
    for _ in range(int(rng.integers(1, 5))):
        content[int(rng.integers(40, size * 3 // 4))] ^= int(rng.integers(1, 256))
    return bytes(content)


def _zip_fields(rng: np.random.Generator) -> bytes:
    """The archive's own fields: an encrypted member, a method nobody has, sizes that are not."""
    content = bytearray(blobs())
    central = content.find(b"PK\x01\x02")
    offset, size = pick(
        rng, ((4, 2), (6, 2), (8, 2), (10, 2), (16, 4), (20, 4), (24, 4), (28, 2), (42, 4))
    )
    content[central + offset : central + offset + size] = rng.bytes(size)
    return bytes(content)


HEADERS = (
    "{'descr': '<i4', 'fortran_order': False, 'shape': (1000000000000000000,), }",
    "{'descr': '<i4', 'fortran_order': False, 'shape': (-1,), }",
    "{'descr': '<i4', 'fortran_order': False, 'shape': (99999999, 99999999, 9999999999), }",
    "{'descr': '<i4', 'fortran_order': False, 'shape': 3, }",
    "{'descr': '<i4', 'fortran_order': 1, 'shape': (3,), }",
    "{'descr': 'zz', 'fortran_order': False, 'shape': (3,), }",
    "{'descr': '|O', 'fortran_order': False, 'shape': (3,), }",
    "{'descr': [('a', '<i4')], 'fortran_order': False, 'shape': (3,), }",
    "{'descr': '<U9', 'fortran_order': False, 'shape': (3,), }",
    "{'descr': ('<i4', (9, 9)), 'fortran_order': False, 'shape': (3,), }",
    "{'descr': '<i4', 'shape': (3,), }",
    "{'descr': '<i4', 'fortran_order': False, 'shape': (True,), }",
    "{'descr': '<i4', 'fortran_order': False, 'shape': (1.5,), }",
    "[]", "", "(", "'", "\0", "{" * 900, "(" * 9000, "9" * 9000, "__import__('os')", "{**{}}", "é",
)  # fmt: skip


def _impossible_header(rng: np.random.Generator) -> bytes:
    """A header that no array has, or of a version that there is not."""
    text = pick(rng, HEADERS).encode("latin1") + b"\n"
    version = pick(rng, ((1, 0), (1, 0), (2, 0), (3, 0), (9, 9)))
    length = struct.pack("<H" if version == (1, 0) else "<I", len(text))
    members = {f"{name}.npy": _npy(array) for name, array in _arrays().items()}
    name = pick(rng, list(members))
    members[name] = b"\x93NUMPY" + bytes(version) + length + text + rng.bytes(12)
    return _archive(members, pick(rng, METHODS))


def _no_archive(rng: np.random.Generator) -> bytes:
    """Something else under the name of an archive."""
    return pick(
        rng,
        (
            b"", b"PK", b"hello\n", b"\x93NUMPY", pickle.dumps({"a": 1}), _npy(np.arange(3)),
            _archive({}, 0), _archive({"train_images": b"1"}, 0), b"PK\x05\x06" + bytes(18),
        ),
    )  # fmt: skip


def _broken_data(rng: np.random.Generator) -> bytes:
    """Any damage to a good file."""
    return broken(rng, blobs())


TABLES: tuple[Maker, ...] = (
    _odd_array, _odd_array, _other_names, _corrupt_member, _zip_fields, _impossible_header,
    _no_archive, _broken_data,
)  # fmt: skip
"""Odd data files."""


@cache
def checkpoint() -> bytes:
    """Return the checkpoint of a small run that is done."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder, "blobs.npz")
        data.write_bytes(blobs())
        words = (
            "train",
            "--data",
            data,
            "--layers",
            "16-6-3",
            "--epochs",
            "1",
            "--engine",
            "model",
        )
        done = CliRunner().invoke(cli, [*map(str, words), "--out", f"{folder}/run"])
        assert done.exit_code == 0, done.stderr
        return Path(folder, "run", "checkpoint.npz").read_bytes()


def _broken_checkpoint(rng: np.random.Generator) -> bytes:
    """Bytes changed, digest and all."""
    return broken(rng, checkpoint())


ODD_JSON = (
    None, [], {}, "", "x", "1", True, -1, 1.5, 10**30, 1e300, [[]], [None], {"a": 1}, "a\0b",
    "9" * 99,
)  # fmt: skip


def _changed(rng: np.random.Generator, value: Any, depth: int = 0) -> Any:
    """Return JSON with one value, somewhere, made odd."""
    if isinstance(value, dict) and value and depth < 3 and rng.integers(8):
        key = pick(rng, list(value))
        form = rng.integers(12)
        if form == 0:
            return {name: item for name, item in value.items() if name != key}
        if form == 1:
            return {**value, "x": 1}
        return {**value, key: _changed(rng, value[key], depth + 1)}
    if isinstance(value, list) and value and rng.integers(4):
        index = int(rng.integers(len(value)))
        return [*value[:index], _changed(rng, value[index], depth + 1), *value[index + 1 :]]
    # 1 equals true: a change must be one of type too.
    others = [odd for odd in ODD_JSON if json.dumps(odd) != json.dumps(value)]
    return pick(rng, others)


def _sealed_meta(rng: np.random.Generator) -> bytes:
    """An odd description of a run, with a right digest."""
    with np.load(io.BytesIO(checkpoint())) as found:
        arrays: dict[str, Any] = dict(found)
    meta = json.loads(arrays["meta"].tobytes())
    text = json.dumps(_changed(rng, meta))
    text = broken(rng, text.encode()).decode("latin1") if not rng.integers(6) else text
    arrays["meta"] = np.frombuffer(text.encode(), np.uint8)
    return runs._sealed(arrays)


def _sealed_arrays(rng: np.random.Generator) -> bytes:
    """Odd weights or counts of steps, with a right digest."""
    with np.load(io.BytesIO(checkpoint())) as found:
        arrays: dict[str, Any] = dict(found)
    name = pick(rng, [name for name in arrays if name != "meta"])
    form = rng.integers(4)
    if form == 0:
        arrays[name] = np.zeros(arrays[name].shape, pick(rng, ODD_TYPES))
    elif form == 1:
        arrays[name] = arrays[name][..., :-1]
    elif form == 2:
        arrays[name] = np.full_like(arrays[name], pick(rng, (-(2**31), 2**31 - 1)))
    else:
        arrays[pick(rng, ("x", "weights_9", "steps_2"))] = arrays.pop(name)
    return runs._sealed(arrays)


def _other_checkpoint(rng: np.random.Generator) -> bytes:
    """Some other file under the checkpoint's name."""
    return pick(rng, TABLES)(rng)


CHECKPOINTS: tuple[Maker, ...] = (
    _broken_checkpoint, _sealed_meta, _sealed_meta, _sealed_arrays, _other_checkpoint,
)  # fmt: skip
"""Odd checkpoints."""


def measurement(rng: np.random.Generator) -> str:
    """Return a good measurement of two devices."""
    course = np.concatenate([np.linspace(-1, 1, 12), np.linspace(1, -1, 12)])
    rows = [
        f"{device},{pulse},{value + rng.normal() * 0.01:.4f}\n"
        for device in range(2)
        for pulse, value in enumerate(course)
    ]
    return "device,pulse,conductance\n" + "".join(rows)


ODD_CELLS = (
    "", "x", "nan", "inf", "-inf", "1e999", "1e300", "-1e200", "1_0", "9" * 400, "\0", '"', '"a',
    "a" * 200_000, "1,2", "٣", "0x1", "1e-320", "\r", "1 2", "{}", "9" * 30,
)  # fmt: skip


def _odd_cell(rng: np.random.Generator) -> bytes:
    """One value of a measurement is odd."""
    lines = [line.split(",") for line in measurement(rng).splitlines()]
    lines[int(rng.integers(len(lines)))][int(rng.integers(3))] = pick(rng, ODD_CELLS)
    return "\n".join(",".join(line) for line in lines).encode()


def _odd_column(rng: np.random.Generator) -> bytes:
    """All values of a column are the same odd one."""
    lines = [line.split(",") for line in measurement(rng).splitlines()]
    column, value = int(rng.integers(3)), pick(rng, (*ODD_CELLS, "0", "1"))
    for line in lines[1:]:
        line[column] = value
    return "\n".join(",".join(line) for line in lines).encode()


def _odd_text(rng: np.random.Generator) -> bytes:
    """A measurement in another encoding, with other columns, or too short."""
    text = measurement(rng)
    return pick(
        rng,
        (
            text.encode("utf-16"), text.encode("utf-32"), text.encode("utf-8-sig"),
            b"\xff" + text.encode(), text.replace(",", ";").encode(), text[:60].encode(),
            text.replace("pulse", "pulse,pulse").encode(), text.split("\n", 1)[1].encode(),
            text.replace("\n", "\r").encode(), text.replace("device", "direction").encode(),
        ),
    )  # fmt: skip


def _broken_text(rng: np.random.Generator) -> bytes:
    """Any damage to a measurement."""
    return broken(rng, measurement(rng).encode())


def broken_measurement(rng: np.random.Generator) -> bytes:
    """Return a file of measured pulses that nobody can read, whatever one assumes."""
    text = measurement(rng)
    lines = text.splitlines()
    at = int(rng.integers(2, len(lines) - 1))
    cells = lines[at].split(",")
    odd = pick(rng, ("x", "nan", "inf", "1e999", "1_0", "0x1", "1 2", "٣", "9" * 400))
    other = pick(rng, (";", "\t", " ", "|"))
    changed = pick(
        rng,
        (
            ",".join((*cells[:2], odd)), ",".join((*cells, "7")), ",".join(cells[:2]),
            other.join(cells), f'{cells[0]},"{cells[1]},{cells[2]}', "",
        ),
    )  # fmt: skip
    if not changed:
        return pick(
            rng,
            (
                b"", b"\n \n", rng.bytes(900) + b"\0", text.encode("utf-16"),
                b"\xff" + text.encode(), text[:45].encode(), b"<html><body>1,2</body></html>",
                b"PK\x03\x04" + rng.bytes(200) + b"\0",
                b'{"pulse": [1, 2, 3]}', ("pulse,conductance\n1," + "a" * 200_000).encode(),
                "".join(f"{line.rsplit(',', 1)[0]},5\n" for line in lines[1:]).encode(),
            ),
        )  # fmt: skip
    return "\n".join((*lines[:at], changed, *lines[at + 1 :])).encode()


MEASUREMENTS: tuple[Maker, ...] = (_odd_cell, _odd_cell, _odd_column, _odd_text, _broken_text)
"""Odd measurement files."""

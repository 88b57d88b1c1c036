"""Odd inputs for every door of the command line, made from a seed: what users and disks do.

`fault(seed, number)` is one input: files to write, words to type, and whether it must be refused.
The same two numbers make the same input on every machine. Files are in `fault_files`.
"""

import hashlib
import tomllib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from fault_files import CHECKPOINTS, MEASUREMENTS, TABLES, Fault, blobs, broken, pick
from fault_files import measurement as rows_of

from ohmgrid.config import Config
from ohmgrid.devices.presets import PRESETS, device_to_dict
from ohmgrid.training.settings import config_to_toml

__all__ = ["DOORS", "fault", "faults"]

ODD_TEXTS = (
    "", " ", "x", "1_0", "1.5.2", "0x10", "٣", "½", "nan", "inf", "-inf", "1e999", "9" * 50,
    "-" + "9" * 50, "9" * 5000, "[]", "{}", "None", "true", "1,2", "1;2", "a\nb", "a\0b", "\udc80",
    "é" * 300, "-1", "1e-400", "{0}", "%s", "--", "../..", "/dev/null/x", ".",
    "none.toml", "none.npz",
    "+3", "007", "1e-2", ".5",
)  # fmt: skip
"""What a shell may hand over where something else is expected."""

NUMBERS = ("seed", "lanes", "share", "bit-length", "lr", "epochs", "batch")
NAMES = ("config", "device", "data", "crop", "layers", "activation", "loss")
SMALL = ("--data", "blobs.npz", "--layers", "16-6-3", "--epochs", "1", "--engine", "model")
TRAIN = ("train", *SMALL)
ENGINE = ("--engine", "model")
OPTIONS: dict[tuple[str, ...], tuple[str, ...]] = {
    TRAIN: (
        *NUMBERS, *NAMES, "engine", "threads", "out", "checkpoint-every", "pool", "scale", "label",
        "weights", "g-max", "original", "class",
    ),
    ("config",): (*NUMBERS, *NAMES),
    # Too few outputs for the data, which is looked at last: no engine is ever started.
    ("compare", "--data", "blobs.npz", "--layers", "16-6-2"): (
        "engines", "steps", "example", "waveform", "activation", "loss", "crop", *NUMBERS[:5],
    ),
    ("bench", "--data", "blobs.npz", "--layers", "16-6-2"): (
        "engines", "device", "batch", "threads", "lr", "warm-up", "rounds", "seconds", "crop",
        "lanes",
    ),
    ("device", "ecram", "--up", "2", "--down", "2", "--cells", "8", "--engine", "model"): (
        "up", "down", "cells", "seed", "engine", "out",
    ),
    ("symmetry", "ecram", "--pairs", "2", "--cells", "8", "--engine", "model"): (
        "pairs", "cells", "seed", "engine", "out",
    ),
    ("fit", "m.csv"): ("out", "nodes"),
}  # fmt: skip
"""Command lines that take no time -> the options that get odd values."""


def _option(rng: np.random.Generator) -> Fault:
    """An odd value for one option."""
    words = pick(rng, list(OPTIONS))
    return Fault(
        (*words, f"--{pick(rng, OPTIONS[words])}", pick(rng, ODD_TEXTS)),
        {"blobs.npz": blobs(), "m.csv": rows_of(rng).encode()},
    )


def _words(rng: np.random.Generator) -> Fault:
    """A verb, an argument or an option that nobody knows."""
    odd = pick(rng, ODD_TEXTS[2:4] + ODD_TEXTS[7:9] + ODD_TEXTS[15:26])
    form = rng.integers(4)
    if form == 0:
        return Fault((odd,), refused=True)
    verb = pick(rng, ("train", "compare", "config", "devices", "symmetry", "fit", "synth"))
    if form == 1:
        return Fault((verb, f"--x{odd}"), refused=True)
    if form == 2:
        return Fault((verb, "a", "b", odd), refused=True)
    return Fault((pick(rng, ("device", "symmetry", "fit", "synth")), odd), refused=True)


ODD_VALUES = (
    "[]", "{}", '""', '"x"', '"1"', "nan", "inf", "-inf", "1e400", "9" * 30, "-" + "9" * 30,
    "9" * 5000, "-1", "1.5", "true", "1979-05-27", "07:32:00", "[[1]]", '[1, "a"]', '{a = 1}',
    '"\\u0000"', '"a\\nb"', "1e-320", "1e300", "-0.0", '["nan"]', "[nan]", "0x7fffffffffffffff",
)  # fmt: skip
"""TOML values, each of them of a wrong type or size for most keys."""

BROKEN = ("=", "[", "a", "a = ", "a = 1_", 'a = "', "[[x]", "a = 1\na = 2", "a.b = 1\na = 2", "\0")
DEEP = "a = " + "[" * 5000


def _configuration() -> dict[str, Any]:
    return tomllib.loads(config_to_toml(Config()))


def _lines(table: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield dotted keys and values, as TOML, of a table."""
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _lines(value, f"{prefix}{key}.")
        else:
            text = str(value).lower() if isinstance(value, bool) else repr(value)
            yield f"{prefix}{key}", text


def _mutated(rng: np.random.Generator, table: dict[str, Any]) -> bytes:
    """Return a table's text with one value made odd."""
    lines = dict(_lines(table))
    key = pick(rng, list(lines))
    form = rng.integers(10)
    if form == 0:  # a table instead of a value
        lines[f"{key}.x"] = lines.pop(key)
    elif form == 1:  # a key nobody reads
        lines[f"{key}x"] = pick(rng, ODD_VALUES)
    else:
        lines[key] = pick(rng, ODD_VALUES)
    return "".join(f"{name} = {value}\n" for name, value in lines.items()).encode()


def _damaged(rng: np.random.Generator, text: bytes) -> bytes:
    """Return a text that is none, or not the one it was."""
    form = rng.integers(5)
    if form == 0:
        return text + b"\n" + pick(rng, (*BROKEN, DEEP)).encode()
    if form == 1:
        return text.decode().encode(pick(rng, ("utf-16", "utf-32", "utf-8-sig")))
    return broken(rng, text)


def _config_file(rng: np.random.Generator) -> Fault:
    """An odd value, or damage, in a configuration."""
    table = _configuration()
    content = _mutated(rng, table) if rng.integers(3) else _damaged(rng, config_text())
    words = ("config",) if rng.integers(4) else TRAIN
    return Fault((*words, "--config", "c.toml"), {"c.toml": content, "blobs.npz": blobs()})


def config_text() -> bytes:
    """Return the text of the default configuration."""
    return config_to_toml(Config()).encode()


def _device_file(rng: np.random.Generator) -> Fault:
    """An odd value, or damage, in a device file."""
    name = pick(rng, list(PRESETS))
    table = device_to_dict(PRESETS[name])
    form = rng.integers(6)
    if form == 0:
        content = f"preset = {pick(rng, ODD_VALUES)}\n".encode()
    elif form == 1:
        content = f"class = {pick(rng, ODD_VALUES)}\n".encode()
    elif form == 2:
        content = _damaged(rng, f'preset = "{name}"\ndw_min = 0.002\n'.encode())
    else:
        content = _mutated(rng, table)
    words = pick(
        rng,
        (
            ("config", "--device", "d.toml"),
            ("device", "d.toml", "--up", "2", "--down", "2", "--cells", "8", "--engine", "model"),
        ),
    )
    return Fault(words, {"d.toml": content})


def _data_file(rng: np.random.Generator) -> Fault:
    """Odd arrays in a data file, or no such file at all."""
    return Fault(TRAIN, {"blobs.npz": pick(rng, TABLES)(rng)})


def _measurement_file(rng: np.random.Generator) -> Fault:
    """An odd measurement file."""
    return Fault(("fit", "m.csv"), {"m.csv": pick(rng, MEASUREMENTS)(rng)})


def _checkpoint_file(rng: np.random.Generator) -> Fault:
    """An odd checkpoint. Without a right digest it must be refused, whatever it says."""
    content = pick(rng, CHECKPOINTS)(rng)
    sealed = hashlib.sha256(content[:-64]).hexdigest().encode() == content[-64:]
    return Fault(
        ("train", "--resume", "--out", "run", "--engine", "model", "--data", "blobs.npz"),
        {"run/checkpoint.npz": content, "blobs.npz": blobs()},
        refused=not sealed,
    )


def _places(rng: np.random.Generator) -> Fault:
    """Files where folders belong, folders where files do, and neither."""
    place = pick(rng, ("file/x", "folder", "missing/x", "/dev/null", "/dev/null/x", "n" * 300))
    words = pick(
        rng,
        (
            (*TRAIN, "--out", place if place != "folder" else "file"),
            ("config", "--config", place),
            ("config", "--device", f"{place}.toml"),
            ("train", "--data", f"{place}.npz"),
            ("fit", place),
            ("device", "ecram", "--up", "1", "--cells", "8", "--engine", "model", "--out", place),
        ),
    )
    return Fault(words, {"file": b"", "folder/x": b"", "blobs.npz": blobs()})


DEVICE = b'{"dw_min": 0.002, "w_max": 1.0, "_metadata": {"device_type": "SoftBoundsDevice"}}'
PRINTED = (
    b"SingleRPUConfig(device=SoftBoundsDevice(dw_min=.002), forward=IOParameters(inp_res=.01))"
)
CHIP = b"1\nAnalogLinear\n48\n3\n16\n0\n" + b",".join([b"0.25"] * 48) + b"\n"
TABLE = b"label,a,b\n" + b"".join(b"%d,0.5,0.%d\n" % (n % 2, n) for n in range(9))


def _foreign_file(rng: np.random.Generator) -> Fault:
    """Damage in a file of another tool."""
    name, content, *words = pick(
        rng,
        (
            ("d.json", DEVICE, "config", "--device", "d.json"),
            ("c.txt", PRINTED, "config", "--config", "c.txt"),
            ("c.txt", PRINTED, "config", "--device", "c.txt"),
            ("w.csv", CHIP, "export", "w.csv", "--g-max", "40", "--out", "w.npz"),
            ("w.csv", CHIP, "test", "--weights", "w.csv", "--data", "blobs.npz", *ENGINE),
            (
                "t.csv",
                TABLE,
                "train",
                "--data",
                "t.csv",
                "--epochs",
                "1",
                "--scale",
                "minmax",
                *ENGINE,
            ),
            ("t/train.csv", TABLE, "train", "--data", "t", "--epochs", "1", *ENGINE),
        ),
    )
    return Fault(tuple(words), {name: broken(rng, content), "blobs.npz": blobs()})


DOORS: dict[str, Callable[[np.random.Generator], Fault]] = {
    "option": _option,
    "words": _words,
    "configuration": _config_file,
    "device": _device_file,
    "data": _data_file,
    "measurement": _measurement_file,
    "checkpoint": _checkpoint_file,
    "place": _places,
    "foreign": _foreign_file,
}


def fault(seed: int, number: int) -> tuple[str, Fault]:
    """Return the name of a door, and the odd input of that number; all doors take turns."""
    door = list(DOORS)[number % len(DOORS)]
    return door, DOORS[door](np.random.default_rng([seed, number]))


def faults(seed: int, count: int) -> Iterator[tuple[int, str, Fault]]:
    """Yield inputs with their numbers and doors."""
    for number in range(count):
        yield number, *fault(seed, number)

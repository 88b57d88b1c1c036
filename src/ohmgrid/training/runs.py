"""What a run leaves behind: its checkpoint, and one function that reads it back.

A checkpoint is an ordinary .npz file with a comment at its end that holds the SHA-256 of every
byte before it (docs/runs.md). Whatever changed in it since it was written, names, sizes and the
archive's own bookkeeping included, is found before anything in it is believed.
"""

import hashlib
import io
import json
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np

from ohmgrid import __version__
from ohmgrid.config import Config
from ohmgrid.counters import Counters
from ohmgrid.datasets.scaling import Scaling
from ohmgrid.devices.presets import device_to_dict
from ohmgrid.doors.arrays import read_arrays
from ohmgrid.doors.checks import ConfigError, shown
from ohmgrid.doors.schema import parse_json
from ohmgrid.hidden import check_hidden, hidden_fields
from ohmgrid.registers.cells import weight_lsb
from ohmgrid.storage.files import write_whole
from ohmgrid.tile import WEIGHTS, TileState, device_shape, parts_of
from ohmgrid.training.data import Dataset, Preparation
from ohmgrid.training.plan import Plan
from ohmgrid.training.settings import config_to_toml, parse_settings

__all__ = ["CHECKPOINT", "Checkpoint", "Progress", "read_checkpoint", "read_run"]

CHECKPOINT = "checkpoint.npz"
"""Name of the checkpoint in a run's folder."""
FORMAT = 2
"""Number of the checkpoint's format; a change of it is listed in CHANGELOG.md."""
PREPARED = ("data", "pool", "scale", "label")
"""Fields of a plan that the hash of the examples covers."""
STARTED = ("weights", "g_max", "original")
"""Fields of a plan that the hash of the first states covers."""
MARK = b"ohmgrid checkpoint sha256 "
DIGEST_BYTES = 64
"""Hexadecimal digits of a SHA-256."""
MOST_STEPS = 1 << 48

Count = Annotated[int, msgspec.Meta(ge=0, lt=MOST_STEPS)]
Seconds = Annotated[float, msgspec.Meta(ge=0)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Digest = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$")]


class _Bars(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    first: Count
    counts: list[Count]


class EpochRow(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A row of a run's history; row 0 is the net before training."""

    epoch: Count
    test_accuracy: Share
    train_accuracy: Share | None
    train_loss: Annotated[float, msgspec.Meta(ge=0)] | None
    examples: Count
    seconds: Seconds
    layers: list[dict[str, Share | _Bars]]


class _Progress(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    epoch: Count
    position: Count
    loss: Annotated[float, msgspec.Meta(ge=0)]
    hits: Count
    seconds: Seconds


class _Scaling(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    offset: list[float]
    factor: list[float]


class _Meta(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Everything in a checkpoint but its arrays."""

    format: int
    program: str
    settings: str
    data_sha256: Digest
    bits_sha256: Digest
    progress: _Progress
    history: list[EpochRow]
    counters: dict[str, list[Count]]
    scaling: _Scaling | None = None
    bytes: bool = False
    start_sha256: Digest | None = None
    classes: list[str] | None = None


class _Format(msgspec.Struct, frozen=True):
    """What every format has, whatever else."""

    format: int


@dataclass
class Progress:
    """How far a run is."""

    epoch: int = 0
    """Epochs done."""
    position: int = 0
    """Examples done in the epoch under way."""
    loss: float = 0.0
    """Sum of their losses."""
    hits: int = 0
    """How many of them were classified right."""
    seconds: float = 0.0
    """Training time of the epoch under way."""


@dataclass(frozen=True)
class Checkpoint:
    """A run as it was written to disk."""

    plan: Plan
    config: Config
    data_sha256: str
    """Of the examples, as `ohmgrid.training.data.Dataset` has it."""
    progress: Progress
    history: list[dict[str, Any]]
    """A row for each epoch, as `ohmgrid.training.session.Session` has them."""
    states: list[TileState]
    counters: Counters
    """What training has counted so far."""
    preparation: Preparation = field(default_factory=Preparation)
    """What was learned of the training part: the scaling, and the names of the classes."""
    start_sha256: str | None = None
    """Of the states that the run began with, where they came from a file of weights."""
    program: str = __version__
    """Version of the program that wrote it."""

    def check_data(self, data: Dataset) -> None:
        """Raise `ConfigError` unless these are the examples that the run began with."""
        if self.data_sha256 != data.sha256:
            raise ConfigError(
                "data", f"expected the examples that the run began with, but {data.name} has others"
            )

    @property
    def bits_sha256(self) -> str:
        """SHA-256 of all that decides the run's bits.

        Its settings as sorted JSON, without ``build`` and ``layout``, the number of epochs and what
        a hash of its own covers: where data are and how they are prepared, and weights to begin
        with.
        """
        plan = asdict(self.plan)
        for name in (*PREPARED, *STARTED, "epochs"):
            del plan[name]
        config = {**asdict(self.config), "device": device_to_dict(self.config.device)}
        del config["build"], config["layout"]
        decides = {"config": config, "plan": plan, "data": self.data_sha256}
        if self.start_sha256 is not None:
            decides["start"] = self.start_sha256
        return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()

    @property
    def lsb(self) -> float:
        """One weight LSB in weight units."""
        return weight_lsb(self.config.device, self.config.formats.weight_bits)

    @property
    def weights(self) -> list[np.ndarray]:
        """Weights of every tile in weight units: float64, shape (rows, columns), bias last.

        Of cells of several devices, what these make together.
        """
        return [parts_of(self.config.device, state)[WEIGHTS] * self.lsb for state in self.states]

    def write(self, path: Path) -> None:
        """Write the file whole."""
        meta = {
            "format": FORMAT,
            "program": self.program,
            "settings": config_to_toml(self.config, asdict(self.plan)),
            "data_sha256": self.data_sha256,
            "bits_sha256": self.bits_sha256,
            "progress": asdict(self.progress),
            "history": self.history,
            "counters": self.counters.as_dict(),
        }
        if self.preparation.scaling is not None:
            meta["scaling"] = self.preparation.scaling.as_dict()
        if self.start_sha256 is not None:
            meta["start_sha256"] = self.start_sha256
        if self.preparation.bytes:
            meta["bytes"] = True
        if self.preparation.names:
            meta["classes"] = list(self.preparation.names)
        arrays: dict[str, Any] = {"meta": np.frombuffer(json.dumps(meta).encode(), np.uint8)}
        for number, state in enumerate(self.states):
            arrays[f"weights_{number}"] = state.weights.astype("<i4")
            arrays[f"steps_{number}"] = np.array(state.steps, dtype="<i8")
            arrays |= {f"{name}_{number}": array for name, array in state.hidden.items()}
        content = _sealed(arrays)
        write_whole(path, lambda file: file.write(content))


def _sealed(arrays: dict[str, Any]) -> bytes:
    """Return an .npz file that ends with the SHA-256 of all its other bytes."""
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    with zipfile.ZipFile(file, "a") as archive:
        archive.comment = MARK + bytes(DIGEST_BYTES)
    content = file.getvalue()[:-DIGEST_BYTES]
    return content + hashlib.sha256(content).hexdigest().encode()


def _unsealed(sealed: bytes) -> bytes:
    """Return the file again; raise `ConfigError` unless it is as it was written."""
    content, digest = sealed[:-DIGEST_BYTES], sealed[-DIGEST_BYTES:]
    if hashlib.sha256(content).hexdigest().encode() == digest and content.endswith(MARK):
        return sealed
    if MARK in sealed[-len(MARK) - DIGEST_BYTES :]:
        raise ConfigError("content", "damaged: its SHA-256 is not the one that it was written with")
    raise ConfigError("content", "expected the checkpoint of a run, got something else")


def _meta(arrays: dict[str, np.ndarray]) -> _Meta:
    text = arrays["meta"].tobytes()
    number = parse_json("meta", text, _Format).format
    if number != FORMAT:
        raise ConfigError(
            "format", f"expected {FORMAT}, which this program ({__version__}) reads, got {number}"
        )
    return parse_json("meta", text, _Meta)


def _state(
    arrays: dict[str, np.ndarray], number: int, lines: tuple[int, int], config: Config
) -> TileState:
    """Return the state of one tile; raise `ConfigError` where it is none of such a tile."""
    formats = config.formats
    shape, top = device_shape(config.device, *lines), (1 << (formats.weight_bits - 1)) - 1
    weights, steps = arrays[f"weights_{number}"], arrays[f"steps_{number}"]
    for name, array, dtype, expected in (
        (f"weights_{number}", weights, "<i4", shape),
        (f"steps_{number}", steps, "<i8", (3,)),
    ):
        if array.dtype != np.dtype(dtype) or array.shape != expected:
            raise ConfigError(
                name,
                f"expected {np.dtype(dtype)} of shape {expected}, "
                f"got {array.dtype} of shape {array.shape}",
            )
    if np.abs(weights.astype(np.int64)).max() > top:
        raise ConfigError(f"weights_{number}", f"expected weights in +-{top}")
    if steps.min() < 0 or steps.max() >= MOST_STEPS:
        raise ConfigError(f"steps_{number}", f"expected counts below {MOST_STEPS}")
    forward, backward, update = (int(step) for step in steps)
    fields = hidden_fields(config.device, *lines, formats.weight_bits)
    try:
        hidden = check_hidden({name: arrays[f"{name}_{number}"] for name in fields}, fields)
    except ValueError as error:
        raise ConfigError(f"tile {number}", str(error)) from None
    return TileState(weights.astype(np.int32), (forward, backward, update), hidden)


def _check_progress(meta: _Meta, plan: Plan) -> None:
    """Raise `ConfigError` unless history, progress and plan are those of one run."""
    progress = meta.progress
    if progress.epoch > plan.epochs:
        raise ConfigError("progress.epoch", f"expected 0..{plan.epochs}, got {progress.epoch}")
    begun = progress.epoch or progress.position
    rows = [row.epoch for row in meta.history]
    # Before the very first look at the test examples there is no row at all.
    if rows != list(range(progress.epoch + 1)) and (begun or rows):
        raise ConfigError("history", f"expected a row for each of epochs 0..{progress.epoch}")
    if progress.hits > progress.position:
        raise ConfigError(
            "progress.hits", f"expected at most {progress.position}, got {progress.hits}"
        )


def _preparation(meta: _Meta, plan: Plan) -> Preparation:
    """Return how the examples of a run are made."""
    found = meta.scaling
    if (found is None) != (plan.scale == "none"):
        raise ConfigError("scaling", f"expected that of --scale {plan.scale}, got another")
    scaling = None
    if found is not None:
        if len(found.offset) != len(found.factor) or not found.offset:
            raise ConfigError("scaling", "expected as many offsets as factors")
        scaling = Scaling(tuple(found.offset), tuple(found.factor))
    names = tuple(meta.classes or ())
    return replace(plan.preparation(), scaling=scaling, bytes=meta.bytes, names=names)


def _present(names: Sequence[str]) -> Sequence[str]:
    """Return the names of all arrays of a file; raise `ConfigError` if it is no checkpoint."""
    if "meta" not in names:
        raise ConfigError("content", "expected the checkpoint of a run, got other arrays")
    return names


def _check_names(names: Iterable[str], config: Config, tiles: int) -> None:
    """Raise `ConfigError` unless these are the arrays of so many tiles, and the meta data."""
    fields = ("weights", "steps", *hidden_fields(config.device, 1, 1, config.formats.weight_bits))
    wanted = ["meta", *(f"{what}_{n}" for n in range(tiles) for what in fields)]
    if sorted(names) == sorted(wanted):
        return
    found = sum(name.startswith("weights_") for name in names)
    if found != tiles:
        raise ConfigError("content", f"expected {tiles} tiles, got {found}")
    raise ConfigError("content", f"expected {', '.join(fields)} of each tile, got other arrays")


def _parse(sealed: bytes) -> Checkpoint:
    """Return the checkpoint of a file's bytes."""
    arrays = read_arrays(io.BytesIO(_unsealed(sealed)), _present)
    meta = _meta(arrays)
    settings = parse_settings(meta.settings)
    config, plan = settings.config(), settings.plan()
    _check_progress(meta, plan)
    shapes = plan.net().shapes
    _check_names(arrays, config, len(shapes))
    counters = Counters.from_dict(meta.counters)
    if len(counters.counts) != len(shapes):
        raise ConfigError("counters", f"expected {len(shapes)} layers, got {len(counters.counts)}")
    found = Checkpoint(
        plan=plan,
        config=config,
        data_sha256=meta.data_sha256,
        progress=Progress(**msgspec.to_builtins(meta.progress)),
        history=msgspec.to_builtins(meta.history),
        states=[_state(arrays, number, shape, config) for number, shape in enumerate(shapes)],
        counters=counters,
        preparation=_preparation(meta, plan),
        start_sha256=meta.start_sha256,
        program=meta.program,
    )
    if found.bits_sha256 != meta.bits_sha256:
        raise ConfigError(
            "bits_sha256",
            f"expected the digest of these settings, got another (written by ohmgrid "
            f"{shown(meta.program)})",
        )
    return found


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint; raise `ConfigError` where there is none or it is not whole."""
    try:
        sealed = path.read_bytes()
    except FileNotFoundError:
        raise ConfigError(
            str(path), "expected the checkpoint of a run, found no such file"
        ) from None
    except OSError as error:
        raise ConfigError(str(path), f"cannot be read: {error.strerror}") from None
    try:
        return _parse(sealed)
    except ConfigError as error:
        raise error.at(path) from None


def read_run(folder: str | Path) -> Checkpoint:
    """Return the run in a folder: settings, history and weights as far as it was trained.

    Parameters
    ----------
    folder : path
        What ``ohmgrid train --out`` named.

    Raises
    ------
    ConfigError
        If there is no checkpoint, or it is not as it was written.
    """
    return read_checkpoint(Path(folder) / CHECKPOINT)

"""A training run from its first weights to its last epoch, with checkpoints.

A run is decided by its configuration and its `Plan`; the engine, the number of lanes and where it
was interrupted change none of its bits.
"""

import json
import time
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from ohmgrid.checks import ConfigError, check_float, check_int
from ohmgrid.config import Config, config_from_toml, config_to_toml
from ohmgrid.data import Dataset
from ohmgrid.engines import TileEngine, make_trainer
from ohmgrid.files import write_whole
from ohmgrid.model.trainer import Net, epoch_order, initial_state, state_sha256
from ohmgrid.tile import TileState, device_shape

__all__ = [
    "CHECKPOINT",
    "Checkpoint",
    "Plan",
    "Progress",
    "Session",
    "changed_fields",
    "read_checkpoint",
]

CHECKPOINT = "checkpoint.npz"
"""Name of the checkpoint in a run's folder."""


@dataclass(frozen=True)
class Plan:
    """What is trained, beside the tile's configuration."""

    data: str = "digits"
    crop: str = ""
    """``HEIGHTxWIDTH``, or empty for whole images."""
    layers: str = "64-32-10"
    activation: str = "sigmoid"
    loss: str = "cross-entropy"
    lr: float = 0.1
    epochs: int = 10
    batch: int = 1
    """Examples of a mini-batch."""

    def __post_init__(self) -> None:
        check_float("lr", self.lr, 1e-6, 1000.0)
        check_int("epochs", self.epochs, 1, 100000)
        check_int("batch", self.batch, 1, 65536)
        self.net()

    def net(self) -> Net:
        """Return the net."""
        parts = self.layers.split("-")
        if not all(part.isascii() and part.isdigit() and len(part) < 7 for part in parts):
            raise ConfigError(f"layers: expected sizes such as 64-32-10, got {self.layers!r}")
        return Net(tuple(map(int, parts)), self.activation, self.loss)

    def check_fits(self, data: Dataset) -> None:
        """Raise `ConfigError` unless the net's first and last layer fit the data."""
        layers = self.net().layers
        if layers[0] != data.inputs:
            shape = "x".join(map(str, data.image))
            raise ConfigError(
                f"layers: expected {data.inputs} inputs for {data.name} ({shape}), got {layers[0]}"
            )
        if layers[-1] < data.classes:
            raise ConfigError(
                f"layers: expected at least {data.classes} outputs for {data.name}, "
                f"got {layers[-1]}"
            )


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
    progress: Progress
    history: list[dict[str, Any]]
    states: list[TileState]

    def write(self, path: Path) -> None:
        """Write the file whole."""
        meta = {
            "plan": asdict(self.plan),
            "config": config_to_toml(self.config),
            "data_sha256": self.data_sha256,
            "progress": asdict(self.progress),
            "history": self.history,
        }
        arrays: dict[str, Any] = {"meta": np.array(json.dumps(meta))}
        for number, state in enumerate(self.states):
            arrays[f"weights_{number}"] = state.weights.astype("<i4")
            arrays[f"steps_{number}"] = np.array(state.steps, dtype="<i8")
        write_whole(path, lambda file: np.savez_compressed(file, **arrays))


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint; raise `ConfigError` where there is none or it is not one."""
    try:
        # An open file of our own: np.load leaves one behind where the content is broken.
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            meta = json.loads(str(file["meta"]))
            plan = Plan(**meta["plan"])
            config = config_from_toml(meta["config"])
            states = []
            for number, (rows, cols) in enumerate(plan.net().shapes):
                first, second, third = (int(step) for step in file[f"steps_{number}"])
                weights = file[f"weights_{number}"]
                if weights.shape != device_shape(config.device, rows, cols):
                    raise ValueError("shape")
                states.append(TileState(weights.astype(np.int32), (first, second, third)))
            return Checkpoint(
                plan=plan,
                config=config,
                data_sha256=meta["data_sha256"],
                progress=Progress(**meta["progress"]),
                history=meta["history"],
                states=states,
            )
    except FileNotFoundError:
        raise ConfigError(f"{path}: expected the checkpoint of a run, found no such file") from None
    except (OSError, KeyError, TypeError, ValueError, EOFError, zipfile.BadZipFile):
        raise ConfigError(f"{path}: expected the checkpoint of a run, got something else") from None


class Session:
    """One run on one engine.

    Parameters
    ----------
    config : Config
    plan : Plan
    data : Dataset
    tiles : sequence of TileEngine
        Of the shapes of ``plan.net()``.
    threads : int
        For engines that can share the work; no bit depends on it.

    Attributes
    ----------
    history : list of dict
        A row for each epoch: ``epoch``, ``test_accuracy``, ``train_accuracy``, ``train_loss``,
        ``examples``, ``seconds``; row 0 is the net before training.
    """

    def __init__(
        self,
        config: Config,
        plan: Plan,
        data: Dataset,
        tiles: Sequence[TileEngine],
        threads: int = 1,
    ) -> None:
        plan.check_fits(data)
        self.config, self.plan, self.data = config, plan, data
        self.trainer = make_trainer(config, tiles, plan.net(), threads)
        # Whole mini-batches between two looks at the clock and at Ctrl-C.
        self._block = max(1, self.trainer.block // plan.batch) * plan.batch
        self.history: list[dict[str, Any]] = []
        self.progress = Progress()
        self._order = np.zeros(0, np.int64)

    def start(self) -> None:
        """Begin with the initial weights."""
        self.trainer.initialise()
        self.history = []
        self._begin_epoch(0)

    def resume(self, checkpoint: Checkpoint) -> None:
        """Go on where a checkpoint was written."""
        if checkpoint.data_sha256 != self.data.sha256:
            raise ConfigError(
                f"data: expected the examples that the run began with, but {self.plan.data} has "
                "changed since"
            )
        self.trainer.load(checkpoint.states)
        self.history = list(checkpoint.history)
        self._begin_epoch(checkpoint.progress.epoch)
        self.progress = replace(checkpoint.progress)

    def _begin_epoch(self, epoch: int) -> None:
        self.progress = Progress(epoch=epoch)
        self._order = epoch_order(self.config.seed, epoch, len(self.data.train_labels))

    @property
    def done(self) -> bool:
        """Whether all epochs are trained."""
        return self.progress.epoch >= self.plan.epochs and bool(self.history)

    def checkpoint(self) -> Checkpoint:
        """Return all that `resume` needs."""
        return Checkpoint(
            plan=self.plan,
            config=self.config,
            data_sha256=self.data.sha256,
            progress=replace(self.progress),
            history=list(self.history),
            states=self.trainer.state(),
        )

    def advance(self) -> None:
        """Train the next block of examples; close the epoch where it ends.

        The very first call measures the accuracy before training instead.
        """
        if not self.history:
            self._close_epoch(0)
            return
        progress, labels = self.progress, self.data.train_labels
        chosen = self._order[progress.position : progress.position + self._block]
        begin = time.perf_counter()
        outcome = self.trainer.train(
            self.data.train_x[chosen], labels[chosen], self.plan.lr, self.plan.batch
        )
        progress.seconds += time.perf_counter() - begin
        progress.position += len(chosen)
        progress.hits += outcome.hits
        progress.loss += outcome.loss
        if progress.position == len(labels):
            self._close_epoch(progress.epoch + 1)
            self._begin_epoch(progress.epoch + 1)

    def _close_epoch(self, epoch: int) -> None:
        progress, test = self.progress, self.data.test_labels
        hits = self.trainer.count_hits(self.data.test_x, test)
        examples = progress.position
        self.history.append(
            {
                "epoch": epoch,
                "test_accuracy": hits / len(test),
                "train_accuracy": progress.hits / examples if examples else None,
                "train_loss": progress.loss / examples if examples else None,
                "examples": examples,
                "seconds": progress.seconds,
            }
        )

    def run(
        self,
        stop: Callable[[], bool],
        on_block: Callable[[Progress], None],
        on_epoch: Callable[[dict[str, Any]], None],
    ) -> bool:
        """Train until all epochs are done; return False if ``stop()`` became true before.

        Parameters
        ----------
        stop : callable
            Asked between blocks.
        on_block : callable
            Called after every block.
        on_epoch : callable
            Called with each new row of `history`.
        """
        while not self.done:
            if stop():
                return False
            rows = len(self.history)
            self.advance()
            on_block(self.progress)
            if len(self.history) > rows:
                on_epoch(self.history[-1])
        return True

    @property
    def examples_per_s(self) -> float:
        """Training examples a second over all epochs closed so far (tests excluded)."""
        seconds = sum(row["seconds"] for row in self.history)
        return sum(row["examples"] for row in self.history) / seconds if seconds else 0.0

    @property
    def state_sha256(self) -> str:
        """SHA-256 of all tiles' states."""
        return state_sha256(self.trainer.state())

    def initial_weights(self) -> list[np.ndarray]:
        """Return the weights that the run began with."""
        return [
            initial_state(self.config, rows, cols, number).weights
            for number, (rows, cols) in enumerate(self.plan.net().shapes)
        ]


def changed_fields(old: Plan, new: Plan) -> list[str]:
    """Return the names of the fields that decide bits and differ (the epochs may be more)."""
    return [
        field.name
        for field in fields(Plan)
        if field.name != "epochs" and getattr(old, field.name) != getattr(new, field.name)
    ]

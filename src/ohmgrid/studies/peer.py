"""aihwkit beside ohmgrid: which of its presets is which, and how its process is asked to train."""

import json
import os
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ohmgrid.doors.checks import ConfigError, OhmgridError
from ohmgrid.training.data import Dataset

__all__ = ["FLOAT", "PEER_PRESETS", "Peer", "peer_version"]

FLOAT = "float"
"""The same net in floating point: the reference that no device limits."""

_UNITS = {
    "capacitor": "Capacitor",
    "ecram": "EcRam",
    "ecram-mo": "EcRamMO",
    "idealized": "Idealized",
    "reram-es": "ReRamES",
    "reram-sb": "ReRamSB",
}
_TRANSFERS = {
    "tiki-taka": "TikiTaka",
    "ttv2": "TTv2",
    "chopped-ttv2": "ChoppedTTv2",
    "agad": "AGAD",
}
PEER_PRESETS = {
    **{name: f"{unit}Preset" for name, unit in _UNITS.items()},
    "gokmen-vlasov": "GokmenVlasovPreset",
    "pcm": "PCMPreset",
    **{
        f"{transfer}-{name}": f"{their}{unit}Preset"
        for transfer, their in _TRANSFERS.items()
        for name, unit in _UNITS.items()
    },
    FLOAT: FLOAT,
}
"""ohmgrid's name of a preset -> the class in ``aihwkit.simulator.presets``."""

# One thread each: a second one makes aihwkit slower on nets of this size.
_ENVIRONMENT = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def peer_version(python: str) -> str | None:
    """Return the version of aihwkit that an interpreter can import, or None."""
    code = "import aihwkit; print(aihwkit.__version__)"
    try:
        done = subprocess.run([python, "-c", code], capture_output=True, text=True, timeout=300)
    except OSError as error:
        raise ConfigError("peer-python", f"{python}: {error.strerror}") from None
    return done.stdout.strip() if done.returncode == 0 else None


class Peer:
    """One net of aihwkit's in a process of its own.

    Parameters
    ----------
    python : str
        Interpreter that can import aihwkit.
    device : str
        A key of `PEER_PRESETS`.
    layers : sequence of int
    batch : int
    lr : float
        Learning rate; the loss is the mean over a batch.
    data : Dataset
    x_frac : int
        Fraction bits of the data's pixels.
    activation : str
    seed : int
        Of the initial weights; aihwkit's noise cannot be seeded.
    loss : str
    """

    def __init__(
        self,
        python: str,
        device: str,
        layers: Sequence[int],
        batch: int,
        lr: float,
        data: Dataset,
        x_frac: int,
        activation: str = "sigmoid",
        seed: int = 1,
        loss: str = "cross-entropy",
    ) -> None:
        job = {
            "layers": list(layers),
            "preset": PEER_PRESETS[device],
            "batch": batch,
            "lr": lr,
            "activation": activation,
            "loss": loss,
            "seed": seed,
            "test": len(data.test_labels),
        }
        pixels = np.concatenate([data.train_x, data.test_x]).astype(np.float32) / (1 << x_frac)
        labels = np.concatenate([data.train_labels, data.test_labels])
        self._folder = tempfile.TemporaryDirectory(prefix="ohmgrid-peer-")
        path = Path(self._folder.name, "job.npz")
        np.savez(path, pixels=pixels, labels=labels, job=np.array(json.dumps(job)))
        self._errors = Path(self._folder.name, "stderr")
        worker = str(Path(__file__).with_name("peer_worker.py"))
        with self._errors.open("w") as errors:
            self._process = subprocess.Popen(
                [python, worker, str(path)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=os.environ | _ENVIRONMENT,
            )
        try:
            self._answer()
        except BaseException:
            self.close()
            raise

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            lines = self._errors.read_text().strip().splitlines()
            raise OhmgridError(f"aihwkit: stopped with: {lines[-1] if lines else 'no word'}")
        return json.loads(line)

    def _ask(self, request: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def restart(self, seed: int) -> None:
        """Begin anew with a net whose initial weights are those of ``seed``."""
        self._ask(seed)

    def train(self, order: Sequence[int]) -> tuple[float, float]:
        """Train on examples in an order; return seconds and processor seconds."""
        answer = self._ask([int(i) for i in order])
        return answer["seconds"], answer["cpu_seconds"]

    def test(self) -> float:
        """Return the accuracy on the test examples."""
        return self._ask("test")["accuracy"]

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()
        self._folder.cleanup()

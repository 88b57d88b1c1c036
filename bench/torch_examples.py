"""The reference simulator's examples of MNIST, on it and on `ohmgrid.torch`, in turns.

``python bench/torch_examples.py --net fc --peer-python PATH`` trains 784-256-128-10 with batches of
one on devices of constant steps; ``--net lenet-agad`` and ``--net lenet-constant`` a convolutional
net with batches of 8. The same code runs on both (`bench/torch_worker.py`): layers, optimiser and
configurations are imported from elsewhere, and nothing else differs. A part of the examples is
trained on one, then the same part on the other, then the next; examples a second are those of the
clock and, where others share the machine, of the processor. Parts before ``--warm-up`` examples are
not counted.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import click
import numpy as np

from ohmgrid.training.data import load_data

NETS = {"fc": (1, 0.05), "lenet-agad": (8, 0.01), "lenet-constant": (8, 0.01)}
"""Net -> examples of a mini-batch, learning rate."""
PACKAGES = ("ohmgrid.torch", "aihwkit")
THREADS = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


class Side:
    """One package in a process of its own."""

    def __init__(self, python: str, package: str, file: Path) -> None:
        worker = str(Path(__file__).with_name("torch_worker.py"))
        self._process = subprocess.Popen(
            [python, worker, str(file), package],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | THREADS,
        )
        self._answer()

    def _answer(self) -> dict[str, float]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise click.ClickException("a worker has stopped; its error is above")
        return json.loads(line)

    def ask(self, request: object) -> dict[str, float]:
        """Return the answer to a request of `bench/torch_worker.py`."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()


@click.command()
@click.option("--net", type=click.Choice(list(NETS)), default="fc", help="[fc]")
@click.option("--examples", type=click.IntRange(1), default=10000, help="In all epochs [10000].")
@click.option("--tests", type=click.IntRange(1), default=2000, help="[2000]")
@click.option("--part", type=click.IntRange(1), default=1000, help="Of a turn [1000].")
@click.option("--warm-up", type=click.IntRange(0), default=2000, help="[2000]")
@click.option("--batch", type=click.IntRange(1), help="[fc: 1, lenet: 8]")
@click.option("--lr", type=float, help="[fc: 0.05, lenet: 0.01]")
@click.option("--seed", type=click.IntRange(0), default=1, help="[1]")
@click.option("--peer-python", default=sys.executable, help="Interpreter with aihwkit [this one].")
def main(
    net: str,
    examples: int,
    tests: int,
    part: int,
    warm_up: int,
    batch: int | None,
    lr: float | None,
    seed: int,
    peer_python: str,
) -> None:
    """Train both in turns; see the module's text."""
    data = load_data("mnist", 12, 16)
    usual = NETS[net]
    job = {"net": net, "batch": batch or usual[0], "lr": lr or usual[1], "seed": seed}
    job["test"] = tests
    used = min(examples, len(data.train_labels))
    pixels = np.concatenate([data.train_x[:used], data.test_x[:tests]]).astype(np.float32) / 4096
    labels = np.concatenate([data.train_labels[:used], data.test_labels[:tests]]).astype(np.int64)
    rng = np.random.default_rng(seed)
    epochs = -(-examples // used)
    order = np.concatenate([rng.permutation(used) for _ in range(epochs)])[:examples]
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in PACKAGES}
    with tempfile.TemporaryDirectory(prefix="ohmgrid-torch-") as folder:
        file = Path(folder, "job.npz")
        np.savez(file, pixels=pixels, labels=labels, job=np.array(json.dumps(job)))
        pythons = {"ohmgrid.torch": sys.executable, "aihwkit": peer_python}
        sides = {name: Side(pythons[name], name, file) for name in PACKAGES}
        try:
            for first in range(0, examples, part):
                chosen = order[first : first + part]
                for name, side in sides.items():
                    took = side.ask(chosen.tolist())
                    if first >= warm_up or examples <= warm_up:
                        size = len(chosen)
                        one = size / took["seconds"], size / took["cpu_seconds"]
                        seconds[name].append(one)
            found = {name: side.ask("test")["accuracy"] for name, side in sides.items()}
        finally:
            for side in sides.values():
                side.close()
    click.echo(f"{net}: {examples} examples, batch {job['batch']}, lr {job['lr']}, seed {seed}")
    for name, rates in seconds.items():
        wall, cpu = zip(*rates, strict=True)
        click.echo(
            f"{name:14} {found[name]:.2%} of {tests} right; examples/s "
            f"{statistics.median(wall):.0f} ({min(wall):.0f} to {max(wall):.0f}), "
            f"for 1 s of CPU {statistics.median(cpu):.0f}"
        )
    ours, theirs = seconds.values()
    for place, what in enumerate(("by the clock", "by CPU")):
        each = [one[place] / other[place] for one, other in zip(ours, theirs, strict=True)]
        click.echo(f"times aihwkit {what}: {statistics.median(each):.2f}")


if __name__ == "__main__":
    main()

"""Accuracy on MNIST by epoch, for presets and seeds: 528-250-125-10, batch 1, cross-entropy.

``python bench/mnist.py --devices gokmen-vlasov,capacitor --seeds 1,2,3 --epochs 3 --out DIR`` keeps
a checkpoint of each run and a row of ``accuracy.csv`` for each epoch, so that the same command goes
on where it was stopped, and draws ``accuracy.png``. The device ``float`` is the same net in
floating point, plain C, from the same initial weights and in the same order of examples. Another
data set and net: ``--data FEATURES.npz --crop "" --layers 2048-10``.
"""

import csv
import io
from pathlib import Path

import click
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from rich.console import Console

from ohmgrid.commands.options import Options, choose_config
from ohmgrid.commands.starting import start_core
from ohmgrid.config import Config
from ohmgrid.devices.presets import NAMED
from ohmgrid.doors.checks import ConfigError, check_int
from ohmgrid.model.core.core import epoch_order, initial_state
from ohmgrid.model.core.tile import Tile
from ohmgrid.plots.training import save_figure
from ohmgrid.storage.files import make_folder, write_whole
from ohmgrid.studies.plain_c import PlainNet
from ohmgrid.training.data import Dataset
from ohmgrid.training.fitting import fit_build, load_plan_data
from ohmgrid.training.plan import Plan
from ohmgrid.training.runs import CHECKPOINT, read_checkpoint
from ohmgrid.training.session import Session

FLOAT = "float"
Rows = dict[tuple[str, int, int], float]
"""Device, seed and epoch to test accuracy."""


def float_accuracies(config: Config, plan: Plan, data: Dataset):
    """Yield the test accuracy of the float net after each epoch."""
    net, lsb = plan.net(), Tile(config, 1, 1).lsb
    states = [initial_state(config, *shape, number) for number, shape in enumerate(net.shapes)]
    trainer = PlainNet(net, [state.weights * lsb for state in states])
    unit = np.float32(1 << config.formats.x_frac)
    test = data.test_x.astype(np.float32) / unit
    try:
        for epoch in range(plan.epochs):
            order = epoch_order(config.seed, epoch, len(data.train_labels))
            train = data.train_x[order].astype(np.float32) / unit
            trainer.train(train, data.train_labels[order], plan.rate(epoch))
            yield float((trainer.predict(test) == data.test_labels).mean())
    finally:
        trainer.close()


def read_rows(path: Path) -> Rows:
    """Return the rows that earlier runs have written."""
    if not path.exists():
        return {}
    with path.open(newline="") as file:
        return {
            (row["device"], int(row["seed"]), int(row["epoch"])): float(row["test_accuracy"])
            for row in csv.DictReader(file)
        }


def write_rows(path: Path, rows: Rows) -> None:
    """Write all rows, sorted."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["device", "seed", "epoch", "test_accuracy"])
    for key in sorted(rows):
        writer.writerow([*key, rows[key]])
    write_whole(path, lambda file: file.write(text.getvalue().encode()))


def train(config: Config, plan: Plan, data: Dataset, folder: Path, record) -> None:
    """Train one device to the end, from its checkpoint where there is one."""
    config = fit_build(config, plan)
    core = start_core("compiled", config, plan.net(), Console(stderr=True))
    session = Session(config, plan, data, core)
    path = make_folder(folder) / CHECKPOINT
    if path.exists():
        session.resume(read_checkpoint(path))
    else:
        session.start()

    def on_epoch(row: dict) -> None:
        session.checkpoint().write(path)
        record(row["epoch"], row["test_accuracy"])

    for row in session.history:
        record(row["epoch"], row["test_accuracy"])
    session.run(lambda: False, lambda progress: None, on_epoch)


def plot(path: Path, rows: Rows, title: str) -> None:
    """Draw mean accuracy by epoch, with the spread over seeds."""
    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    axes = figure.subplots()
    for device in sorted({key[0] for key in rows}):
        epochs = sorted({key[2] for key in rows if key[0] == device and key[2] > 0})
        found = [[v for k, v in rows.items() if (k[0], k[2]) == (device, e)] for e in epochs]
        means = np.array([np.mean(values) for values in found]) * 100
        low = means - 100 * np.array([min(values) for values in found])
        high = 100 * np.array([max(values) for values in found]) - means
        # The mean of equal values may be a rounding beside them.
        spread = np.maximum([low, high], 0)
        axes.errorbar(epochs, means, yerr=spread, marker="o", capsize=3, label=device)
    axes.set(xlabel="epoch", ylabel="test accuracy, %", title=title)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend()
    axes.grid(alpha=0.3)
    save_figure(figure, path)


@click.command()
@click.option("--devices", default="gokmen-vlasov,capacitor,float", help="Presets, and `float`.")
@click.option("--seeds", default="1,2,3", help="Seeds [1,2,3].")
@click.option("--epochs", type=int, default=3, help="Epochs [3].")
@click.option("--lr", type=float, default=0.05, help="Learning rate [0.05].")
@click.option("--lr-decay", type=float, default=1.0, help="Factor after each epoch [1].")
@click.option("--data", default="mnist", help="As of `ohmgrid train` [mnist].")
@click.option("--crop", default="22x24", help="Likewise; empty: none [22x24].")
@click.option("--layers", default="528-250-125-10", help="Likewise [528-250-125-10].")
@click.option("--out", type=Path, required=True, metavar="DIR", help="Folder for everything.")
def main(
    devices: str,
    seeds: str,
    epochs: int,
    lr: float,
    lr_decay: float,
    data: str,
    crop: str,
    layers: str,
    out: Path,
) -> None:
    """Train MNIST with presets and seeds; see the module's text."""
    names, numbers = devices.split(","), [int(seed) for seed in seeds.split(",")]
    for name in names:
        if name not in (*NAMED, FLOAT):
            raise ConfigError("devices", f"expected {', '.join(NAMED)} or {FLOAT}, got {name!r}")
    check_int("epochs", epochs, 1, 1000)
    plan = Plan(data, crop, layers, lr=lr, lr_decay=lr_decay, epochs=epochs)
    path = make_folder(out) / "accuracy.csv"
    rows = read_rows(path)
    examples = load_plan_data(plan, Config())
    for name in names:
        for seed in numbers:

            def record(epoch: int, accuracy: float, name: str = name, seed: int = seed) -> None:
                rows[name, seed, epoch] = accuracy
                write_rows(path, rows)
                click.echo(f"{name:18} seed {seed}  epoch {epoch}  {accuracy:.2%}", err=True)

            if (name, seed, epochs) in rows:
                continue
            if name == FLOAT:
                config = choose_config(Options(seed=seed))
                for epoch, accuracy in enumerate(float_accuracies(config, plan, examples), 1):
                    record(epoch, accuracy)
            else:
                config = choose_config(Options(seed=seed, device=name))
                train(config, plan, examples, out / f"{name}-{seed}", record)
    plot(out / "accuracy.png", rows, f"{Path(data).name}, {layers}")
    for name in names:
        line = []
        for epoch in range(1, epochs + 1):
            values = [rows[name, seed, epoch] for seed in numbers]
            line.append(f"{np.mean(values):.2%} ({min(values):.2%} to {max(values):.2%})")
        click.echo(f"{name:18} {'  '.join(line)}")


if __name__ == "__main__":
    main()

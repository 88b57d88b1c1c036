"""Test accuracies beside those of aihwkit: named runs, several seeds a side.

``python bench/agreement.py --out DIR`` trains every run of `RUNS` with the compiled engine and
judges it against the accuracies of aihwkit that `REFERENCE` holds. With ``--peer-python PATH``,
an interpreter that has aihwkit, it first records what is missing there (aihwkit cannot be seeded:
its side is recorded, ours is computed anew). Both sides are written after each run, so that the
same command goes on where it was stopped; ours is computed again whenever the code has changed. The
exit status is 1 where a run disagrees.

``--only WORD`` takes the runs whose names hold the word, as in ``--only ttv2``.

``--scan`` trains aihwkit only, at the learning rates of `SCAN`: how those of `RATES` were chosen.
"""

import hashlib
import json
import math
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import click

from ohmgrid.commands.options import Options, choose_config
from ohmgrid.config import Config
from ohmgrid.doors.checks import ConfigError
from ohmgrid.engines import make_core
from ohmgrid.model.core.core import epoch_order
from ohmgrid.storage.files import make_folder, write_whole
from ohmgrid.studies.peer import Peer
from ohmgrid.training.data import Dataset, Preparation, load_data
from ohmgrid.training.fitting import fit_build
from ohmgrid.training.plan import Plan

REFERENCE = Path(__file__).with_name("agreement.json")
"""What aihwkit reached: versions, and of each run the learning rate and its test accuracies.
Where ``held_back`` is true its layers held back errors (docs/agreement.md): recorded before that
was switched off."""

SEED, PEER_SEED = 1, 101
"""First seed of our side, and of aihwkit's initial weights and orders of examples: others, so that
both sides are independent samples."""

RATES = {
    ("cross-entropy", "sigmoid"): 0.2,
    ("cross-entropy", "tanh"): 0.02,
    ("cross-entropy", "relu"): 0.02,
    ("squared", "sigmoid"): 0.4,
    ("squared", "tanh"): 0.05,
    ("squared", "relu"): 0.02,
}
"""Learning rate by loss and activation: the smallest with which aihwkit comes within 2 points of
its best (docs/agreement.md has the scan)."""
SCAN = (0.02, 0.05, 0.1, 0.2, 0.4)
"""Learning rates of ``--scan``."""

POINTS = 0.03
"""Most between the means where aihwkit's own deviation is below `STEADY`."""
STEADY = 0.02

DEVICES = ("gokmen-vlasov", "capacitor", "ecram")
ACTIVATIONS = ("sigmoid", "tanh", "relu")
LOSSES = ("cross-entropy", "squared")
NETS = (
    ("digits", "64-32-10"),
    ("digits", "64-128-10"),
    ("digits", "64-32-16-10"),
    ("mnist", "784-32-10"),
)
TRANSFERS = {
    "tiki-taka-reram-es": 0.2,
    "ttv2-reram-es": 1.0,
    "chopped-ttv2-reram-es": 1.0,
}
"""Transfer algorithms on digits, and the learning rate of each: one with which it learns."""
POOLED = {"tiki-taka-reram-es": 0.2}
"""The same on MNIST with squares of four pixels averaged."""
LARGE = {"tiki-taka-reram-es": 1.0, "reram-es": 0.2}
"""The same with all of them, and the device alone."""


@dataclass(frozen=True)
class Run:
    """What is trained on both sides, and what must agree."""

    data: str
    layers: str
    activation: str
    loss: str
    device: str
    lr: float
    epochs: int = 3
    examples: int = 1437
    """Training examples, the first of the data set; all test examples are tested."""
    seeds: int = 10
    crop: tuple[int, int] | None = None
    pool: int = 1
    errors: float = 3.0
    """Most pooled standard errors between the means."""

    @property
    def name(self) -> str:
        """The run's name."""
        return f"{self.data} {self.layers} {self.activation} {self.loss} {self.device}"


def all_runs() -> Iterator[Run]:
    """Yield the runs: every net with every activation on every device.

    The losses alternate like the fields of a chess board over net, activation and device, so that
    each pair of activation and device meets both losses twice, and each loss counts 18 runs. Those
    of the transfer algorithms follow.
    """
    for n, (data, layers) in enumerate(NETS):
        for a, activation in enumerate(ACTIVATIONS):
            for d, device in enumerate(DEVICES):
                loss = LOSSES[(n + a + d) % 2]
                run = Run(data, layers, activation, loss, device, RATES[loss, activation])
                yield run if data == "digits" else replace(run, epochs=1, examples=10_000)
    loss, activation = LOSSES[0], ACTIVATIONS[0]
    for device, lr in TRANSFERS.items():
        run = Run("digits", "64-32-10", activation, loss, device, lr, epochs=4, errors=4.0)
        yield run
    long = {"epochs": 1, "examples": 10_000, "seeds": 3, "crop": (22, 24), "errors": 4.0}
    for device, lr in POOLED.items():
        yield Run("mnist", "132-32-10", activation, loss, device, lr, pool=2, **long)
    long["examples"] = 5000
    for device, lr in LARGE.items():
        yield Run("mnist", "528-250-125-10", activation, loss, device, lr, **long)


RUNS = tuple(all_runs())


def load(run: Run, config: Config) -> Dataset:
    """Return the data of a run."""
    how = Preparation(crop=run.crop, pool=run.pool)
    data = load_data(run.data, config.formats.x_frac, config.formats.edge_bits, how)
    count = run.examples
    return replace(data, train_x=data.train_x[:count], train_labels=data.train_labels[:count])


def peer_accuracies(python: str, run: Run, first: int) -> list[float]:
    """Return the test accuracy that aihwkit reaches with each seed from ``first`` on."""
    config = Config()
    data = load(run, config)
    layers = [int(size) for size in run.layers.split("-")]
    peer = Peer(
        python,
        run.device,
        layers,
        1,
        run.lr,
        data,
        config.formats.x_frac,
        run.activation,
        loss=run.loss,
    )
    found = []
    try:
        for seed in range(first, first + run.seeds):
            peer.restart(seed)
            for epoch in range(run.epochs):
                peer.train(epoch_order(seed, epoch, len(data.train_labels)).tolist())
            found.append(peer.test())
    finally:
        peer.close()
    return found


def our_accuracies(run: Run) -> list[float]:
    """Return the test accuracy that the compiled engine reaches with each seed."""
    plan = Plan(run.data, "", run.layers, run.activation, run.loss, run.lr, run.epochs)
    found = []
    for seed in range(SEED, SEED + run.seeds):
        config = fit_build(
            choose_config(Options(seed=seed, device=run.device, activation=run.activation)), plan
        )
        data = load(run, config)
        trainer = make_core("compiled", config, plan.net())
        try:
            trainer.initialise()
            for epoch in range(plan.epochs):
                order = epoch_order(seed, epoch, len(data.train_labels))
                trainer.train(data.train_x[order], data.train_labels[order], run.lr)
            hits = trainer.count_hits(data.test_x, data.test_labels)
        finally:
            trainer.close()
        found.append(hits / len(data.test_labels))
    return found


def code_sha256() -> str:
    """Return a digest of all code that can change a bit of ours."""
    root = Path(__file__).resolve().parents[1]
    digest = hashlib.sha256(Path(__file__).read_bytes())
    for folder in ("src/ohmgrid", "model"):
        for path in sorted((root / folder).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()


def read_json(path: Path) -> dict[str, Any]:
    """Return what an earlier run has written, or an empty object."""
    return json.loads(path.read_text()) if path.exists() else {}


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write an object as JSON."""
    write_whole(path, lambda file: file.write((json.dumps(content, indent=1) + "\n").encode()))


def peer_versions(python: str) -> dict[str, str]:
    """Return the versions of what aihwkit's side is computed with."""
    code = (
        "import json; from importlib.metadata import version; "
        "print(json.dumps({n: version(n) for n in ('aihwkit', 'torch', 'numpy')}))"
    )
    done = subprocess.run([python, "-c", code], capture_output=True, text=True)
    if done.returncode:
        raise ConfigError("peer-python", f"expected an interpreter with aihwkit, got {python}")
    return json.loads(done.stdout)


def record_reference(python: str, chosen: list[Run]) -> None:
    """Let aihwkit train every run that `REFERENCE` lacks or holds for another learning rate."""
    kept = read_json(REFERENCE)
    versions = peer_versions(python)
    if kept.get("versions", versions) != versions:
        raise ConfigError(
            "peer-python",
            f"expected the versions of {REFERENCE.name}, {kept['versions']}, got {versions}",
        )
    runs = kept.get("runs", {})
    for run in chosen:
        if runs.get(run.name, {}).get("lr") == run.lr:
            continue
        accuracies = peer_accuracies(python, run, PEER_SEED)
        runs[run.name] = {"lr": run.lr, "accuracies": accuracies}
        write_json(REFERENCE, {"versions": versions, "runs": runs})
        click.echo(f"aihwkit  {run.name:56} {fmean(accuracies):.2%}", err=True)


def train_ours(out: Path, chosen: list[Run]) -> dict[str, list[float]]:
    """Train every run of ours that ``out`` does not hold; return the accuracies of all."""
    path, code = make_folder(out) / "ours.json", code_sha256()
    kept = read_json(path)
    if kept.get("code_sha256") != code:
        kept = {"code_sha256": code, "runs": {}}
    for run in chosen:
        if run.name not in kept["runs"]:
            kept["runs"][run.name] = our_accuracies(run)
            write_json(path, kept)
            click.echo(f"ohmgrid  {run.name:56} {fmean(kept['runs'][run.name]):.2%}", err=True)
    return kept["runs"]


def judge(run: Run, ours: list[float], peers: list[float]) -> dict[str, Any]:
    """Return both means and deviations, their distance, and whether it is within the bounds."""
    means, deviations = (fmean(ours), fmean(peers)), (stdev(ours), stdev(peers))
    difference = means[0] - means[1]
    error = math.hypot(deviations[0] / math.sqrt(len(ours)), deviations[1] / math.sqrt(len(peers)))
    steady = deviations[1] < STEADY
    return {
        "ours": means[0],
        "ours_deviation": deviations[0],
        "aihwkit": means[1],
        "aihwkit_deviation": deviations[1],
        "difference": difference,
        "standard_error": error,
        "agrees": abs(difference) <= run.errors * error
        and not (steady and abs(difference) > POINTS),
    }


def scan(python: str, seed: int = 1) -> None:
    """Print what aihwkit reaches on two nets at each learning rate of `SCAN`."""
    for loss in LOSSES:
        for activation in ACTIVATIONS:
            words = []
            for lr in SCAN:
                found = [
                    fmean(
                        peer_accuracies(
                            python,
                            Run("digits", layers, activation, loss, DEVICES[0], lr, seeds=1),
                            seed,
                        )
                    )
                    for layers in ("64-32-10", "64-32-16-10")
                ]
                words.append(f"{lr:g}: " + " ".join(f"{value:.1%}" for value in found))
            click.echo(f"{loss:14} {activation:8} " + "   ".join(words))


@click.command()
@click.option("--peer-python", metavar="PATH", help="Interpreter with aihwkit: record its side.")
@click.option("--scan", "scanning", is_flag=True, help="Only scan aihwkit's learning rates.")
@click.option("--only", default="", metavar="WORD", help="Runs whose names hold it [all].")
@click.option("--out", type=Path, default=Path("runs/agreement"), metavar="DIR")
def main(peer_python: str | None, scanning: bool, only: str, out: Path) -> None:
    """Compare test accuracies with aihwkit's, run by run."""
    if scanning:
        if peer_python is None:
            raise click.UsageError("--scan: expected --peer-python PATH with it")
        scan(peer_python)
        return
    chosen = [run for run in RUNS if only in run.name]
    if not chosen:
        raise click.UsageError(f"--only: expected a part of a run's name, got {only}")
    if peer_python is not None:
        record_reference(peer_python, chosen)
    runs = read_json(REFERENCE).get("runs", {})
    if missing := [run.name for run in chosen if runs.get(run.name, {}).get("lr") != run.lr]:
        raise click.ClickException(
            f"{REFERENCE.name} lacks {len(missing)} runs, such as {missing[0]}: "
            "--peer-python PATH records them"
        )
    ours = train_ours(out, chosen)
    results = {run.name: judge(run, ours[run.name], runs[run.name]["accuracies"]) for run in chosen}
    write_json(out / "agreement.json", results)
    click.echo(f"{'run':58}{'lr':>6}{'ours':>16}{'aihwkit':>16}{'points':>8}{'errors':>8}")
    for run in chosen:
        row = results[run.name]
        click.echo(
            f"{run.name:58}{run.lr:>6g}"
            f"{row['ours']:>9.2%} ±{row['ours_deviation'] * 100:>4.2f}"
            f"{row['aihwkit']:>9.2%} ±{row['aihwkit_deviation'] * 100:>4.2f}"
            f"{row['difference'] * 100:>8.2f}{row['difference'] / row['standard_error']:>8.2f}"
            f"{'' if row['agrees'] else '  disagrees'}"
            f"{' *' if runs[run.name].get('held_back') else ''}"
        )
    wrong = sum(not row["agrees"] for row in results.values())
    click.echo(f"{len(results) - wrong} of {len(results)} runs agree")
    if wrong:
        raise click.exceptions.Exit(1)


if __name__ == "__main__":
    main()

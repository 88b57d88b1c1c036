"""``ohmgrid energy``: what training would cost on the analog chip, beside processor and FPGA."""

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from ohmgrid.boards.build_report import REPORT
from ohmgrid.commands.options import json_option
from ohmgrid.commands.outputs import print_rows
from ohmgrid.commands.starting import start_core
from ohmgrid.commands.types import FOLDER, INTEGER, NUMBER, PATH
from ohmgrid.core import Core
from ohmgrid.doors.checks import ConfigError, check_float, check_int
from ohmgrid.doors.schema import parse_json, read_bytes
from ohmgrid.net import Net
from ohmgrid.studies.energy import (
    Costs,
    Row,
    Work,
    own_costs,
    paper_j,
    read_costs,
    rows_of,
    seconds_of,
    work_of_net,
    work_of_run,
)
from ohmgrid.studies.power import Used, packages, used_by
from ohmgrid.tile import transfers_of
from ohmgrid.training.data import Dataset
from ohmgrid.training.fitting import load_plan_data
from ohmgrid.training.plan import Plan
from ohmgrid.training.runs import Checkpoint, read_run

__all__ = ["energy"]

MEASURED_S = 1.0
"""Of training by which the processor is measured, at least."""
BLOCK = 200
MOST_EXAMPLES = 10**9
UNKNOWN = "unknown"


@dataclass(frozen=True)
class _Beside:
    """What else trains the same net."""

    name: str
    joules: float | None
    """An example."""
    said: str


@click.command()
@click.argument("run", type=FOLDER, metavar="[RUN]", required=False)
@click.option("--layers", metavar="N-N-...", help="Instead of a RUN: sizes, inputs first.")
@click.option("--bit-length", type=INTEGER, help="For --layers: most slots of a train [31].")
@click.option("--examples", type=INTEGER, help="Examples of an epoch [those of the RUN].")
@click.option("--costs", type=PATH, metavar="FILE.toml", help="Figures of yours [our own].")
@click.option("--build", type=FOLDER, help="Folder of `ohmgrid build`: an FPGA beside it.")
@click.option("--watts", type=NUMBER, help="For --build: power of that board.")
@json_option
def energy(
    run: Path | None,
    layers: str | None,
    bit_length: int | None,
    examples: int | None,
    costs: Path | None,
    build: Path | None,
    watts: float | None,
    as_json: bool,
) -> None:
    """Add up what training would cost on an analog chip: energy and time of an example.

    Work is what RUN has counted (passes, conversions, pulses), or what follows from --layers. Each
    cost has a source or is said to be unknown: then the sum is of what is known. Beside it are the
    efficiency that Ambrogio et al. 2018 state for their chip, as quoted; this machine's processors,
    where they can be asked; and an FPGA, for the power that you say it takes.
    """
    if (run is None) == (layers is None):
        raise ConfigError("energy", "expected a RUN or --layers, one of them")
    if (build is None) != (watts is None):
        raise ConfigError("watts", "expected --build FOLDER and --watts W together")
    if run is not None and bit_length is not None:
        raise ConfigError("bit-length", "expected with --layers only: a RUN has its own")
    if examples is not None:
        check_int("examples", examples, 1, MOST_EXAMPLES)
    if watts is not None:
        check_float("watts", watts, 1e-6, 1e6)
    figures = own_costs() if costs is None else read_costs(costs)
    if run is not None:
        done = read_run(run)
        net, work = done.plan.net(), _of_run(done)
        epoch = examples or max(row["examples"] for row in done.history)
    else:
        done, net = None, Plan(layers=str(layers)).net()
        check_int("bit-length", slots := bit_length or 31, 1, 127)
        work, epoch = work_of_net(net, slots), examples
    console = Console(stderr=as_json)
    beside = [_processor(done, console)]
    if build is not None and watts is not None:
        beside.append(_board(build, watts))
    rows = rows_of(work, figures)
    said = _summary(net, work, rows, figures, epoch)
    if as_json:
        others = [asdict(one) for one in beside]
        click.echo(json.dumps(said | {"rows": [asdict(row) for row in rows], "beside": others}))
        return
    _print(console, said, rows, beside)


def _of_run(done: Checkpoint) -> Work:
    trained = sum(row["examples"] for row in done.history)
    net, device = done.plan.net(), done.config.device
    return work_of_run(
        net,
        done.counters,
        transfers_of(done.states),
        device,
        trained,
        done.config.pulses.desired_bl,
    )


def _summary(
    net: Net, work: Work, rows: list[Row], costs: Costs, epoch: int | None
) -> dict[str, Any]:
    known = sum(row.nj for row in rows if row.nj is not None)
    seconds, quoted = seconds_of(work, costs), paper_j(work) * 1e9
    return {
        "layers": "-".join(map(str, net.layers)),
        "operations": work.operations,
        "nj_an_example": known,
        "unknown": [row.name for row in rows if row.nj is None],
        "paper_nj_an_example": quoted,
        "ratio": known / quoted,
        "s_an_example": seconds,
        "epoch_examples": epoch,
        "j_an_epoch": None if epoch is None else known * 1e-9 * epoch,
        "s_an_epoch": None if epoch is None or seconds is None else seconds * epoch,
    }


def _processor(done: Checkpoint | None, console: Console) -> _Beside:
    """Train a little with the run's settings, and ask the processors what it took."""
    name = "this machine"
    if done is None:
        return _Beside(name, None, "not measured: a RUN says what to train")
    meters = packages()
    if not meters:
        return _Beside(name, None, "not measured: no /sys/class/powercap/intel-rapl can be read")
    data = load_plan_data(done.plan, done.config, done.preparation)
    core = start_core("compiled", done.config, done.plan.net(), console)
    try:
        core.load(done.states)
        used = _trained(core, data, done, meters)
    finally:
        core.close()
    each = used.joules / used.done
    return _Beside(
        name,
        each,
        f"{each * 1e9:,.0f} nJ an example (compiled engine, {used.done:,} examples; "
        "all that ran meanwhile is in it)",
    )


def _trained(core: Core, data: Dataset, done: Checkpoint, meters: list[Path]) -> Used:
    """Return what training for some time used."""
    lr, batch = done.plan.lr, done.config.batch
    pixels, labels = data.train_x[:BLOCK], data.train_labels[:BLOCK]
    core.train(pixels, labels, lr, batch)

    def work() -> int:
        count, ends = 0, time.monotonic() + MEASURED_S
        while time.monotonic() < ends:
            core.train(pixels, labels, lr, batch)
            count += len(labels)
        return count

    return used_by(work, meters)


def _board(folder: Path, watts: float) -> _Beside:
    """Return what a board takes for an example, at a power that somebody says."""
    path = folder / REPORT
    report = parse_json(str(path), read_bytes(path), dict)
    rate = report.get("training", {}).get("examples_per_s")
    if rate is None:
        raise ConfigError(
            "build", f"expected the report of a net at a clock that is met, got {path}"
        )
    joules = watts / rate
    return _Beside(
        report["title"],
        joules,
        f"{joules * 1e9:,.0f} nJ an example ({report['training']['net']}: {rate:,.0f} examples/s "
        f"at {report['clock_mhz']:g} MHz; {watts:g} W, as was said)",
    )


def _number(value: float | None, form: str) -> str:
    return UNKNOWN if value is None else format(value, form)


def _print(console: Console, said: dict[str, Any], rows: list[Row], beside: list[_Beside]) -> None:
    table = Table(box=None, pad_edge=False)
    for title, side in (("an example", "left"), ("", "right"), ("pJ each", "right")):
        table.add_column(title, justify=side)  # type: ignore[arg-type]
    table.add_column("nJ", justify="right")
    table.add_column("source")
    for row in rows:
        if row.count == 0:
            continue
        count = "only a RUN tells" if row.count is None else f"{row.count:,.0f}"
        source = row.source if row.checked or row.pj is None else f"{row.source} (unverified)"
        table.add_row(row.counted, count, _number(row.pj, "g"), _number(row.nj, ",.2f"), source)
    console.print(table)
    epoch = said["epoch_examples"]
    sum_ = f"{said['nj_an_example']:,.1f} nJ an example"
    if said["unknown"]:
        sum_ = f"at least {sum_}: unknown are {', '.join(said['unknown'])}"
    lines = {
        "net": f"{said['layers']}, {said['operations']:,} operations an example (two for each "
        "multiply-accumulate)",
        "sum": sum_,
        "quoted": f"{said['paper_nj_an_example']:,.1f} nJ for as many operations at 28,065 GOP/s/W "
        "(Ambrogio et al. 2018)",
        "ratio": f"{said['ratio']:.2f} of it, of what is known",
        "time": _time(said),
    }
    if epoch is not None:
        lines["epoch"] = f"{epoch:,} examples: {said['j_an_epoch']:.3g} J" + (
            "" if said["s_an_epoch"] is None else f", {said['s_an_epoch']:.3g} s"
        )
    for one in beside:
        lines[one.name] = one.said
    print_rows(console, lines)


def _time(said: dict[str, Any]) -> str:
    seconds = said["s_an_example"]
    if seconds is None:
        return UNKNOWN
    return f"{seconds * 1e6:.2f} us an example, one layer after the other (unverified times)"

"""``ohmgrid bench``: training speeds of all engines side by side, of aihwkit and of plain C."""

import json
import statistics
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from ohmgrid.commands.options import Options, choose, choose_plan, json_option, tell
from ohmgrid.commands.outputs import check_new, force_option
from ohmgrid.commands.starting import starting
from ohmgrid.commands.types import FOLDER, INTEGER, NUMBER
from ohmgrid.devices.presets import device_name
from ohmgrid.doors.checks import ConfigError, check_float, check_int, parse_int
from ohmgrid.engines import ENGINES, check_engine
from ohmgrid.storage.files import make_folder, write_whole
from ohmgrid.studies.benchmark import (
    Contender,
    Workload,
    engine_contender,
    measure,
    peer_contender,
    plain_contender,
    prices,
    warm_states,
)
from ohmgrid.studies.peer import PEER_PRESETS, peer_version
from ohmgrid.studies.plain_c import build, made_by
from ohmgrid.training.fitting import fit_build
from ohmgrid.training.identity import identity

PEER = "aihwkit"
RESULTS = ("speed.png", "speed.json")
"""What --out gets."""
HEAD = (
    f"{'device':<16}{'batch':>5}  {'engine':<16}{'threads':>7}{'examples/s':>12}"
    f"{'spread':>24}{'for 1 s of CPU':>16}"
)
PRICE_HEAD = f"{'price of physics':>18}{'spread':>20}"
"""Of the columns that --plain-c adds."""
PRICE_NOTE = (
    "price of physics: rate of plain C (same net in float, no device, one thread, batch 1 only) "
    "over that of the row, round by round"
)


def _numbers(name: str, text: str, top: int) -> list[int]:
    """Return the integers of a list such as ``1,32``."""
    numbers = [parse_int(name, part) for part in text.split(",")]
    for number in numbers:
        check_int(name, number, 1, top)
    return numbers


def _engines(text: str) -> list[str]:
    names = text.split(",")
    for name in names:
        check_engine(name)
    return names


def _peer(python: str | None) -> tuple[str, str | None]:
    """Return the interpreter for aihwkit, and the version it finds there."""
    path = python or sys.executable
    version = peer_version(path)
    if version is None and python is not None:
        raise ConfigError("peer-python", f"expected an interpreter with aihwkit, got {python}")
    return path, version


def _contenders(
    names: list[str],
    works: list[Workload],
    threads: list[int],
    peer: tuple[str, str | None],
) -> list[Contender]:
    """Return all rows to measure."""
    found = []
    for work in works:
        states = warm_states(work)
        for name in names:
            # A batch of one is too small to share.
            shares = threads if name == "compiled" and work.batch > 1 else [1]
            found += [engine_contender(name, work, share, states) for share in shares]
        if peer[1] is not None and work.device in PEER_PRESETS:
            found.append(peer_contender(peer[0], work, f"{PEER} {peer[1]}"))
    return found


def _row(row: dict[str, Any]) -> str:
    low, high = row["spread"]
    return (
        f"{row['device']:<16}{row['batch']:>5}  {row['engine']:<16}{row['threads']:>7}"
        f"{row['examples_per_s']:>12,.0f}{f'{low:,.0f} to {high:,.0f}':>24}"
        f"{row['examples_per_cpu_s']:>16,.0f}"
    )


def _add_ratios(rows: list[dict[str, Any]]) -> None:
    """Add to each row how many times faster than aihwkit it is, on the same device and batch."""
    key = {}
    for row in rows:
        if row["engine"].startswith(PEER):
            key[row["device"], row["batch"]] = row["examples_per_s"]
    for row in rows:
        base = key.get((row["device"], row["batch"]))
        row["times_peer"] = None if base is None else row["examples_per_s"] / base


def _add_prices(
    rows: list[dict[str, Any]], contenders: list[Contender], plain: Contender | None
) -> None:
    """Add to each row how many examples plain C trains while it trains one."""
    for row, contender in zip(rows, contenders, strict=True):
        each = None if plain is None else prices(contender, plain)
        row["price"] = None if each is None else statistics.median(each)
        row["price_spread"] = None if each is None else [min(each), max(each)]


def _price(row: dict[str, Any]) -> str:
    """Return the columns of the table that --plain-c adds."""
    if row["price"] is None:
        return " " * len(PRICE_HEAD)
    price, low, high = (
        f"{value:,.{0 if value >= 100 else 2}f}" for value in (row["price"], *row["price_spread"])
    )
    return f"{price:>18}{f'{low} to {high}':>20}"


@click.command()
@click.option("--engines", default=",".join(ENGINES), metavar="A,B", help="Engines [all].")
@click.option("--data", metavar="digits|mnist|FILE|FOLDER", help="Data set [digits].")
@click.option("--crop", metavar="HxW", help="Use the middle of each image, as in 22x24.")
@click.option("--layers", metavar="N-N-...", help="Sizes, inputs first [digits: 64-32-10].")
@click.option("--device", default="gokmen-vlasov", metavar="A,B", help="Presets [gokmen-vlasov].")
@click.option("--batch", default="1,32", metavar="N,N", help="Sizes of mini-batches [1,32].")
@click.option("--threads", default="1", metavar="N,N", help="Threads, of the compiled engine [1].")
@click.option("--lanes", type=INTEGER, help="Cells that the gateware reads in each cycle [16].")
@click.option("--lr", type=NUMBER, default=0.05, help="Learning rate of a batch's mean [0.05].")
@click.option("--warm-up", type=INTEGER, default=2000, help="Examples before the clock [2000].")
@click.option("--rounds", type=INTEGER, default=5, help="Samples of each contender [5].")
@click.option("--seconds", type=NUMBER, default=1.0, help="Length of a sample [1].")
@click.option("--peer-python", metavar="PATH", help="Interpreter that has aihwkit [this one].")
@click.option("--plain-c", is_flag=True, help="Measure plain C too: the price of physics.")
@click.option("--out", type=FOLDER, metavar="DIR", help="Folder for the bar chart and the rows.")
@force_option
@json_option
def bench(
    engines: str,
    device: str,
    batch: str,
    threads: str,
    lr: float,
    warm_up: int,
    rounds: int,
    seconds: float,
    peer_python: str | None,
    plain_c: bool,
    out: Path | None,
    force: bool,
    as_json: bool,
    **given: Any,
) -> None:
    """Measure how many examples a second each engine trains.

    Samples are taken in turns; the table shows medians and spreads. The learning rate is that of
    the mean over a batch, as frameworks take it. aihwkit is measured beside it where there is one.
    --plain-c measures the same net in plain C too, without a device, one example at a time: its
    rate over that of an engine is the price of physics.
    """
    names, batches = _engines(engines), _numbers("batch", batch, 65536)
    shares = _numbers("threads", threads, 256)
    if plain_c and 1 not in batches:
        raise ConfigError("plain-c", f"expected a --batch of 1, plain C has no other, got {batch}")
    check_float("lr", lr, 1e-6, 1000.0)
    check_int("warm-up", warm_up, 1, 10**7)
    check_int("rounds", rounds, 1, 1000)
    check_float("seconds", seconds, 0.001, 3600.0)
    console = Console(stderr=as_json)
    works = []
    for preset in device.split(","):
        options = Options(device=preset, **given)
        chosen = choose(options)
        tell(chosen.warnings)
        plan, data = choose_plan(chosen)
        name = device_name(chosen.config.device)
        for size in batches:
            config = fit_build(chosen.config.replace(batch=size), plan, chosen.settings)
            works.append(Workload(name, config, plan.net(), data, lr, warm_up))
    if plain_c:
        build()
    if out is not None:
        check_new("out", force, *(out / name for name in RESULTS))
        make_folder(out)
    peer = _peer(peer_python)
    with ExitStack() as starts:
        for name in sorted({"compiled", *names}):
            starts.enter_context(starting(name, console))
        contenders = _contenders(names, works, shares, peer)
    plain = plain_contender(works[0]) if plain_c else None
    if plain is not None:
        contenders.append(plain)
    with console.status("") as status:
        measure(contenders, rounds, seconds, status.update)
    if peer[1] is None:
        console.print("aihwkit is not installed here; --peer-python PATH names where it is")
    rows = [contender.row() for contender in contenders]
    _add_ratios(rows)
    _add_prices(rows, contenders, plain)
    result = {
        "data": given.get("data") or "digits",
        "lr": lr,
        "rounds": rounds,
        "rows": rows,
        "plain_c": made_by() if plain_c else None,
        "configurations": {work.device: identity(work.config) for work in works},
    }
    if out is not None:
        from ohmgrid.plots.training import plot_speeds

        plot_speeds(out / RESULTS[0], rows, f"{result['data']} {rows[0]['layers']}")
        text = json.dumps(result, indent=1).encode() + b"\n"
        write_whole(out / RESULTS[1], lambda file: file.write(text))
    if as_json:
        click.echo(json.dumps(result))
        return
    console.print(HEAD + (PRICE_HEAD if plain_c else ""), soft_wrap=True, highlight=False)
    for row in rows:
        price = _price(row) if plain_c else ""
        times = "" if row["times_peer"] is None else f"{row['times_peer']:>8.1f} x aihwkit"
        if cycles := row["cycles_per_example"]:
            rate = row["examples_per_s"] * cycles
            times += f"  {cycles:,.0f} cycles an example, {rate:,.0f} cycles/s"
        console.print((_row(row) + price + times).rstrip(), soft_wrap=True, highlight=False)
    if plain_c:
        console.print(PRICE_NOTE, soft_wrap=True, highlight=False)

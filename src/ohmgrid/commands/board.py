"""``ohmgrid board``: a virtual board to train on, and the check of any board."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from ohmgrid.commands.options import Options, choose, json_option, tile_options
from ohmgrid.commands.outputs import print_rows
from ohmgrid.commands.starting import starting
from ohmgrid.commands.stopping import stop_on_signal
from ohmgrid.doors.checks import ConfigError
from ohmgrid.gateware.check import BoardCheck
from ohmgrid.host.ports import is_port

__all__ = ["board"]


@click.group(no_args_is_help=True)
def board() -> None:
    """Serve a virtual board, or check a board.

    \b
    A virtual board is the complete gateware, simulated, behind a pseudo-terminal: what
    trains on it trains on a real board, and both give the same bits.

    \b
      ohmgrid board serve --virtual --name /tmp/board     (in one terminal)
      ohmgrid board check /tmp/board                      (in another one)
      ohmgrid train --engine /tmp/board --epochs 1
    """


@board.command()
@click.option("--virtual", is_flag=True, help="Simulate the gateware: no board is needed.")
@click.option(
    "--name",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="A name for the port that stays the same: a symbolic link, made here.",
)
@tile_options
@json_option
def serve(virtual: bool, name: Path | None, as_json: bool, **given: Any) -> None:
    """Run a board until Ctrl-C, and print the name of its port.

    The gateware has the build of --config and of the options; with lanes and memory as they are
    when nothing is said it holds nets such as digits' 64-32-10.
    """
    if not virtual:
        raise ConfigError(
            "virtual", "expected --virtual: a board of yours needs nobody to serve it"
        )
    if name is not None and name.exists() and not name.is_symlink():
        raise ConfigError("name", f"{name}: expected a new name, got one that is there")
    # The pseudo-terminal is of Unix alone: it is imported where it is needed.
    from ohmgrid.sim.virtual import PseudoTerminal, VirtualBoard

    config = choose(Options(**given)).config
    console, line = Console(stderr=True), PseudoTerminal()
    try:
        with starting("virtual", console):
            served = VirtualBoard(config, line)
        # Whoever waits for the name finds somebody who answers.
        if name is not None:
            line.call(name)
        said = {"port": line.name, "lanes": config.build.lanes, "words": config.build.words}
        click.echo(json.dumps(said) if as_json else f"board at {line.name} (Ctrl-C ends it)")
        stop = threading.Event()
        thread = threading.Thread(target=served.serve, args=(stop,), daemon=True)
        with stop_on_signal() as asked:
            thread.start()
            while thread.is_alive() and asked.signal is None:
                thread.join(0.1)
            stop.set()
            thread.join()
    finally:
        line.close()


@board.command()
@click.argument("port")
@click.option("--steps", default=200, help="Training steps that must equal the model's [200].")
@json_option
def check(port: str, steps: int, as_json: bool) -> None:
    """Test the board at PORT: who it is, its memory, its bits, its speed.

    \b
    PORT is a serial port such as /dev/ttyUSB0, with another rate than 3,000,000 baud
    /dev/ttyUSB0@115200; or the name that `ohmgrid board serve --virtual` printed.

    Every cell is written and read twice; a small net takes as many training steps as --steps says,
    and every weight must equal the golden model's; then the speeds of link and core are measured,
    and the slower one is named. Exit status 1 if anything differs.
    """
    if not is_port(port):
        raise ConfigError("port", f"expected a port such as /dev/ttyUSB0, got {port!r}")
    if not 1 <= steps <= 1_000_000:
        raise ConfigError("steps", f"expected 1..1000000, got {steps}")
    console = Console(stderr=True)

    def follow(parts: Iterator[int], total: int, what: str) -> int:
        columns = TextColumn(what), BarColumn(), TimeRemainingColumn()
        done = 0
        with Bar(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
            task = bar.add_task("", total=total)
            for part in parts:
                done += part
                bar.advance(task, part)
        return done

    with BoardCheck(port) as test:
        result: dict[str, Any] = {"port": port, **test.identity()}
        follow(test.memory(), 4 * test.cells, "memory")
        result["memory"] = test.memory_result
        result["steps"] = follow(test.train(steps), steps, "training, against the golden model")
        result |= {"equal": not test.where, "where": test.where, **test.speed()}
    if as_json:
        click.echo(json.dumps(result))
    else:
        _print(result)
    if not (result["equal"] and result["memory"]["wrong"] == 0):
        raise click.exceptions.Exit(1)


def _print(result: dict[str, Any]) -> None:
    memory, link = result["memory"], result["link"]
    wrong = memory["wrong"]
    clock = f"{result['clock_hz'] / 1e6:g} MHz" if result["clock_hz"] else "simulated"
    core = result["core"]
    rows = {
        "board": f"{result['port']}: {result['lanes']} lanes, {result['words']} words a lane, "
        f"{clock}, built by ohmgrid {result['program']}",
        "gateware": result["gateware"],
        "memory": f"{memory['cells']} cells written and read twice, "
        + ("all right" if not wrong else f"{wrong} WRONG, the first: {memory['first']}"),
        "training": f"{result['steps']} steps, "
        + ("equal to the golden model" if result["equal"] else f"DIFFERENT: {result['where']}"),
        "link": f"{link['bytes_per_s']:,.0f} bytes/s to the board, {link['bad']} bad frames, "
        f"{link['dropped']} dropped",
        "core": f"{core['cycles']:,.0f} cycles an example at {core['clock_hz'] / 1e6:.3g} MHz",
        "training on": f"{result['net']}, {link['bytes_an_example']:.1f} bytes an example",
        "together": f"{result['examples_per_s']:,.0f} examples/s, limited by the {result['limit']}",
    }
    print_rows(Console(), rows)

"""``ohmgrid watch``: a page in the browser that shows a run while it learns."""

import asyncio
import json
import webbrowser
from pathlib import Path

import click

from ohmgrid.commands.options import json_option
from ohmgrid.commands.types import INTEGER, NUMBER
from ohmgrid.doors.checks import ConfigError, check_float, check_int, is_line, shown
from ohmgrid.training.runs import CHECKPOINT, read_checkpoint
from ohmgrid.watch.follow import Target
from ohmgrid.watch.launch import check_server

START = "start one with: ohmgrid train --watch"


def _is_folder(name: str) -> bool:
    try:
        return Path(name).is_dir()
    except OSError:  # a name that is too long for a file is none of a folder either
        return False


def _choose(run: str | None, pid: int | None) -> Target:
    """Return the run that is meant.

    Raises
    ------
    ConfigError
        There is none to show.
    """
    if run is not None and pid is not None:
        raise ConfigError("pid", f"expected RUN or --pid, got both ({shown(run)} and {pid})")
    if pid is not None:
        check_int("pid", pid, 1, 1 << 31)
        if Target(pid=pid).find() is None:
            raise ConfigError("pid", f"expected a process that trains, got {pid}")
        return Target(pid=pid)
    if run is None:
        newest = Target().find()
        if newest is None:
            raise ConfigError("run", f"expected one to watch, but nothing trains now; {START}")
        return Target(pid=newest.pid)
    if not run or not is_line(run):
        raise ConfigError("run", f"expected a run's folder, a port or an engine, got {shown(run)}")
    if _is_folder(run):
        target = Target(folder=Path(run))
        if target.find() is None:
            read_checkpoint(Path(run) / CHECKPOINT)
        return target
    target = Target(engine=run)
    if target.find() is None:
        raise ConfigError(
            "run",
            f"expected a run's folder, or a port or an engine that trains now, got {shown(run)}; "
            f"{START} --engine ENGINE",
        )
    return target


@click.command()
@click.argument("run", required=False, metavar="[RUN|PORT]")
@click.option("--pid", type=INTEGER, metavar="N", help="The run of this process.")
@click.option("--port", type=INTEGER, default=0, metavar="N", help="Port of the page [any free].")
@click.option("--browser", is_flag=True, help="Open the page in the browser as well.")
@click.option(
    "--linger",
    type=NUMBER,
    metavar="SECONDS",
    help="End when the run is over and no page has been open for so long [stay until Ctrl-C].",
)
@json_option
def watch(
    run: str | None,
    pid: int | None,
    port: int,
    browser: bool,
    linger: float | None,
    as_json: bool,
) -> None:
    """Show a run in the browser, live: accuracy, loss, weights, pulses; it can be paused there.

    RUN is a run's folder: the run is shown live while it trains, else from its checkpoint. PORT is
    the port or the engine on which a run trains. Without either it is the run begun last.

    The page is for this machine and for whoever has its address; Ctrl-C ends it, and not the run.
    """
    check_int("port", port, 0, 65535)
    if linger is not None:
        check_float("linger", linger, 0.0, 86400.0)
    check_server()
    target = _choose(run, pid)
    # Only who serves a page needs, and waits for, the server.
    from ohmgrid.watch.server import serve

    def ready(url: str) -> None:
        click.echo(json.dumps({"url": url}) if as_json else url)
        if browser:
            webbrowser.open(url)

    asyncio.run(serve(target, ready, port, linger))

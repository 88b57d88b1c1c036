"""The first start of an engine, which may compile or build it: said before, and shown."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from ohmgrid.config import Config
from ohmgrid.core import Core
from ohmgrid.engines import make_core, start_note, watch_start
from ohmgrid.net import Net

__all__ = ["start_core", "starting"]


@contextmanager
def _counting(engine: str, console: Console) -> Iterator[None]:
    """Show how many of an engine's functions are compiled."""
    columns = TextColumn("{task.completed} of about {task.total:.0f} functions"), BarColumn()
    with Bar(*columns, TimeElapsedColumn(), console=console, transient=True) as bar:
        total, watched = watch_start(engine, lambda: bar.advance(task))
        task = bar.add_task("", total=total)
        with watched:
            yield


@contextmanager
def starting(engine: str, console: Console) -> Iterator[None]:
    """Say that an engine's start will take long where it will, and afterwards how long it took."""
    note, begin = start_note(engine), time.perf_counter()
    if note:
        console.print(note)
        if console.is_terminal and engine == "compiled":  # a build has no such steps
            with _counting(engine, console):
                yield
        else:
            yield
        console.print(f"ready after {time.perf_counter() - begin:.0f} s")
    else:
        yield


def start_core(engine: str, config: Config, net: Net, console: Console, threads: int = 1) -> Core:
    """Return a core that is ready; parameters as of `make_core`."""
    with starting(engine, console):
        core = make_core(engine, config, net, threads)
        try:
            core.prepare()
        except BaseException:
            core.close()
            raise
    return core

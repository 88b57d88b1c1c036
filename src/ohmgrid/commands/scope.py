"""``--watch`` of ``ohmgrid dynamics``: an oscilloscope in the browser."""

import asyncio
from collections.abc import Callable
from typing import Any

import click
import numpy as np

from ohmgrid.watch.launch import check_server

__all__ = ["check_scope", "show_scope", "watch_option"]

SWEEP_S = 50.0
"""Seconds in which the time that was asked for goes by."""

watch_option = click.option(
    "--watch",
    "watched",
    is_flag=True,
    help="Show it live in the browser until Ctrl-C; --time goes by in 50 seconds.",
)


def check_scope(watched: bool) -> None:
    """Raise `ConfigError` if a page is asked for that cannot be served."""
    if watched:
        check_server()


def show_scope(
    run: Callable[[int], np.ndarray], time: float, *signals: str | float | list[str]
) -> None:
    """Run a system and serve its page until Ctrl-C; see `ohmgrid.watch.scope.show`.

    Parameters
    ----------
    run : callable
    time : float
        That goes by in `SWEEP_S` seconds.
    signals
        Fields of `ohmgrid.watch.scope.Signals`.
    """
    # Only who serves a page needs, and waits for, the server.
    from ohmgrid.watch.scope import Signals, show

    fields: Any = signals
    asyncio.run(show(run, Signals(*fields), time / SWEEP_S, click.echo))

"""The page beside a training run: a process of its own, which ends when nobody looks any more."""

import importlib.util
import os
import subprocess
import sys

import msgspec

from ohmgrid.doors.checks import OhmgridError

__all__ = ["check_server", "open_page"]

LINGER_S = 30
"""Seconds that the page can be opened, or opened again, after the run."""

_pages: list[subprocess.Popen[bytes]] = []
"""Pages of this process: they live on after it."""


class _Ready(msgspec.Struct, frozen=True):
    url: str


def check_server() -> None:
    """Raise `OhmgridError` unless the page's server is installed."""
    if importlib.util.find_spec("aiohttp") is None:
        raise OhmgridError('the page needs aiohttp, which is missing: pip install "ohmgrid[watch]"')


def open_page() -> str:
    """Start the page of this process's run, which has a feed; return its address.

    It stays while a browser has it open, and `LINGER_S` seconds after the run in any case.

    Raises
    ------
    OhmgridError
        If it does not start.
    """
    command = [sys.executable, "-c", "from ohmgrid.cli import main; main()", "watch"]
    command += ["--pid", str(os.getpid()), "--linger", str(LINGER_S), "--json"]
    # In a process group of its own: Ctrl-C ends the run, and the page shows that.
    page = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    _pages.append(page)
    assert page.stdout is not None
    with page.stdout as lines:
        line = lines.readline()
    try:
        return msgspec.json.decode(line, type=_Ready).url
    except msgspec.MsgspecError:
        said = line.decode("utf-8", "replace").strip().removeprefix("error: ")
        raise OhmgridError(f"the page did not start: {said or 'it said nothing'}") from None

"""What it costs to be watched: training with and without a page whose reader takes everything.

``python bench/watch_cost.py`` trains on engine ``compiled`` (digits; MNIST where OHMGRID_DATA is
set), with ``ohmgrid watch`` and a reader of its page, each a process of its own. In turns of half a
second (unwatched, watched, watched, unwatched, so that what drifts is in both) the run tells them
what it tells a watcher, in blocks of a watched run, or nothing. It prints the updates that the
reader got in a watched second, and by how much longer an example took then: by the clock, and in
CPU time of the thread that trains, which other programs on the machine disturb less; the mean over
all turns, with its standard error.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import click
from rich.console import Console

from ohmgrid.commands.options import Options, choose, choose_plan
from ohmgrid.commands.outputs import print_rows
from ohmgrid.commands.starting import start_core
from ohmgrid.doors.checks import check_int
from ohmgrid.training.fitting import fit_build
from ohmgrid.training.session import Session
from ohmgrid.watch.feed import Feed

MNIST = Options(data="mnist", crop="22x24", layers="528-250-125-10", epochs=100000)
DIGITS = Options(data="digits", layers="64-32-10", epochs=100000)
WATCH = "from ohmgrid.cli import main; main()"
READ = """
import http.client, json, sys, urllib.parse
url = urllib.parse.urlsplit(sys.argv[1])
connection = http.client.HTTPConnection(url.netloc)
connection.request("GET", url.path + "events")
updates, size = 0, 0
for line in connection.getresponse():
    size += len(line)
    updates += line == b"event: update\\n"
    if line == b"event: hello\\n":
        print("reading", flush=True)
print(json.dumps({"updates": updates, "bytes": size}))
"""


@contextmanager
def watched(session: Session, got: dict[str, float]) -> Iterator[None]:
    """A page and its reader, both at work; afterwards ``got`` has what the reader got."""
    command = [sys.executable, "-c", WATCH, "watch", "--pid", str(os.getpid()), "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as page:
        assert page.stdout is not None
        url = json.loads(page.stdout.readline())["url"]
        command = [sys.executable, "-c", READ, url]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as reader:
            assert reader.stdout is not None
            reader.stdout.readline()  # it has the hello
            while not session.pace.watched:
                time.sleep(0.01)
            yield
            page.terminate()
            got |= json.loads(reader.stdout.read())


class Costs(NamedTuple):
    """What an example took, in microseconds."""

    clock: float
    cpu: float
    """Of the thread that trains."""


def turn(session: Session, feed: Feed, seconds: float, is_watched: bool) -> Costs:
    """Train for some seconds, without tests; return what an example took."""
    session.pace.watched = is_watched
    done, begin, cpu = 0, time.perf_counter(), time.thread_time()
    while time.perf_counter() < begin + seconds:
        before = session.progress.position
        if before + session.pace.size() >= len(session.data.train_labels):
            session.progress.position = before = 0  # the same epoch again
        session.advance()
        done += session.progress.position - before
        if is_watched:
            feed.look()
    return Costs(
        1e6 * (time.perf_counter() - begin) / done, 1e6 * (time.thread_time() - cpu) / done
    )


def slower(quads: Sequence[Sequence[Costs]], which: str) -> str:
    """Return by how many percent watched turns took longer, and the standard error."""
    parts = []
    for quad in quads:
        alone, one, other, again = (getattr(costs, which) for costs in quad)
        parts.append(100 * ((one + other) / (alone + again) - 1))
    error = statistics.stdev(parts) / len(parts) ** 0.5
    return f"{statistics.mean(parts):.1f} +- {error:.1f} %"


@click.command()
@click.option("--rounds", default=30, help="Rounds of four turns [30].")
@click.option("--seconds", default=0.5, help="Length of a turn [0.5].")
def main(rounds: int, seconds: float) -> None:
    """Print updates in a second, and by how much slower training is."""
    check_int("rounds", rounds, 2, 10000)
    chosen = choose(MNIST if os.environ.get("OHMGRID_DATA") else DIGITS)
    plan, data = choose_plan(chosen)
    config = fit_build(chosen.config, plan)
    console = Console(stderr=True)
    session = Session(config, plan, data, start_core("compiled", config, plan.net(), console))
    session.start()
    session.advance()
    got: dict[str, float] = {}
    with Feed(session, "compiled") as feed:
        turn(session, feed, 3.0, is_watched=False)  # the first steps differ from all others
        with watched(session, got):
            turn(session, feed, 1.0, is_watched=True)
            quads = [
                [turn(session, feed, seconds, n in (1, 2)) for n in range(4)] for _ in range(rounds)
            ]
    watched_s = 1.0 + 2 * rounds * seconds
    rows = {
        "net": f"{plan.data} {plan.layers}",
        "updates/s": f"{got['updates'] / watched_s:.1f}",
        "kB/s": f"{got['bytes'] / watched_s / 1000:.0f}",
        "slower, clock": slower(quads, "clock"),
        "slower, CPU": slower(quads, "cpu"),
    }
    print_rows(Console(), rows)


if __name__ == "__main__":
    main()

"""What it costs to be watched: training with and without a page whose reader takes everything.

``python bench/watch_cost.py`` trains on engine ``compiled`` (digits; MNIST where OHMGRID_DATA is
set), now unwatched, now with ``ohmgrid watch`` and a reader of its page, each a process of its own,
in turns, each time the same examples from the same state. It prints the updates that the reader
got in a second, and by how much longer training took: by the clock, and in CPU time of the thread
that trains, which other programs on the machine disturb less. A figure is the median of all rounds,
with the smallest and the largest; the last line compares the fastest of all rounds, watched and
not, since other programs can only make one slower.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import NamedTuple

import click
from rich.console import Console

from ohmgrid.commands.options import Options, choose, choose_plan, fit_build
from ohmgrid.commands.outputs import print_rows
from ohmgrid.commands.starting import start_core
from ohmgrid.training.runs import Checkpoint
from ohmgrid.training.session import Session
from ohmgrid.watch.feed import Feed

MNIST = Options(data="mnist", crop="22x24", layers="528-250-125-10", epochs=100000)
DIGITS = Options(data="digits", layers="64-32-10", epochs=100000)
WATCH = "from ohmgrid.cli import main; main()"
READ = """
import http.client, json, sys, time, urllib.parse
url = urllib.parse.urlsplit(sys.argv[1])
connection = http.client.HTTPConnection(url.netloc)
connection.request("GET", url.path + "events")
times, size = [], 0
for line in connection.getresponse():
    size += len(line)
    if line == b"event: update\\n":
        times.append(time.perf_counter())
    if line == b"event: hello\\n":
        print("reading", flush=True)
span = times[-1] - times[0]
print(json.dumps({"updates_per_s": (len(times) - 1) / span, "bytes_per_s": size / span}))
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


class Times(NamedTuple):
    """How long training took, in seconds."""

    clock: float
    cpu: float
    """Of the thread that trains."""


def slower(alone: float, beside: float) -> float:
    """Return by how many percent the second of two times is longer."""
    return 100 * (beside / alone - 1)


class Phase:
    """Training of the same examples from the same state, again and again.

    Parameters
    ----------
    session : Session
    checkpoint : Checkpoint
        Where each phase begins.
    """

    def __init__(self, session: Session, checkpoint: Checkpoint) -> None:
        self._session, self._checkpoint = session, checkpoint

    def examples(self, seconds: float) -> int:
        """Return how many examples are trained in so many seconds."""
        self._session.resume(self._checkpoint)
        begin = time.perf_counter()
        done = 0
        while time.perf_counter() < begin + seconds:
            done += self._advance()
        return done

    def _advance(self) -> int:
        """Train a block, and test where an epoch ends; return its examples."""
        progress = self._session.progress
        before, epochs = progress.position, len(self._session.history)
        self._session.advance()
        if len(self._session.history) > epochs:
            return len(self._session.data.train_labels) - before
        return self._session.progress.position - before

    def run(self, examples: int, is_watched: bool) -> tuple[Times, dict[str, float]]:
        """Train; return how long it took, and what a reader got."""
        self._session.resume(self._checkpoint)
        got: dict[str, float] = {}
        with Feed(self._session, "compiled") as feed:
            with watched(self._session, got) if is_watched else nullcontext():
                done, begin, cpu = 0, time.perf_counter(), time.thread_time()
                while done < examples:
                    done += self._advance()
                    feed.look()
                took = Times(time.perf_counter() - begin, time.thread_time() - cpu)
        return took, got


def shown(values: list[float]) -> str:
    """Return median and range."""
    middle, least, most = (f"{f(values):.1f}" for f in (statistics.median, min, max))
    return f"{middle} ({least} to {most})"


@click.command()
@click.option("--rounds", default=7, help="Pairs of phases [7].")
@click.option("--seconds", default=5.0, help="Length of a phase [5].")
def main(rounds: int, seconds: float) -> None:
    """Print updates in a second, and by how much slower training is."""
    chosen = choose(MNIST if os.environ.get("OHMGRID_DATA") else DIGITS)
    plan, data = choose_plan(chosen)
    config = fit_build(chosen.config, plan)
    console = Console(stderr=True)
    session = Session(config, plan, data, start_core("compiled", config, plan.net(), console))
    session.start()
    session.advance()
    for _ in range(20):  # no first steps: they differ from all others
        session.advance()
    phase = Phase(session, session.checkpoint())
    phase.examples(1.0)  # caches, clocks of the processor
    examples = phase.examples(seconds)
    times: list[tuple[Times, Times]] = []
    got: list[dict[str, float]] = []
    for _ in range(rounds):
        alone, _ = phase.run(examples, is_watched=False)
        beside, found = phase.run(examples, is_watched=True)
        got.append(found)
        times.append((alone, beside))
        console.print(
            f"{examples} examples: {alone.clock:.2f} s alone, {beside.clock:.2f} s watched"
        )
    fastest = [min(one.cpu for one in side) for side in zip(*times, strict=True)]
    rows = {
        "net": f"{plan.data} {plan.layers}",
        "updates/s": shown([one["updates_per_s"] for one in got]),
        "kB/s": shown([one["bytes_per_s"] / 1000 for one in got]),
        "slower, clock": f"{shown([slower(*(one.clock for one in pair)) for pair in times])} %",
        "slower, CPU": f"{shown([slower(*(one.cpu for one in pair)) for pair in times])} %",
        "fastest, CPU": f"{slower(*fastest):.1f} %",
    }
    print_rows(Console(), rows)


if __name__ == "__main__":
    main()

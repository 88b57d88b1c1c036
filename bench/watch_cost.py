"""What it costs to be watched: training with and without a page whose reader takes everything.

``python bench/watch_cost.py`` trains on engine ``compiled`` (digits; MNIST where OHMGRID_DATA is
set), now unwatched, now with ``ohmgrid watch`` and a reader of its page, each a process of its own,
in turns. It prints the updates that the reader got in a second, and by how much slower training
was: by the clock, and in CPU time of the thread that trains, which other programs on the machine
disturb less. A figure is the median of all rounds, with the smallest and the largest.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import click
from rich.console import Console

from ohmgrid.commands.options import Options, choose, choose_plan, fit_build
from ohmgrid.commands.outputs import print_rows
from ohmgrid.commands.starting import start_core
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
        if len(times) == 1:
            print("reading", flush=True)
span = times[-1] - times[0]
print(json.dumps({"updates_per_s": (len(times) - 1) / span, "bytes_per_s": size / span}))
"""


@contextmanager
def watched() -> Iterator[list[dict[str, float]]]:
    """A page and its reader; afterwards the list holds what the reader got."""
    got: list[dict[str, float]] = []
    command = [sys.executable, "-c", WATCH, "watch", "--pid", str(os.getpid()), "--json"]
    page = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert page.stdout is not None
    url = json.loads(page.stdout.readline())["url"]
    command = [sys.executable, "-c", READ, url]
    reader = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        yield got
    finally:
        page.terminate()
        page.wait()
        page.stdout.close()
        out, _ = reader.communicate(timeout=30)
        got.append(json.loads(out.splitlines()[-1]))


def train(session: Session, feed: Feed, seconds: float) -> tuple[float, float]:
    """Train for some seconds; return examples in a second by the clock, and of CPU time."""
    begin, cpu, before = time.perf_counter(), time.thread_time(), session.progress.position
    end = begin + seconds
    size = len(session.data.train_labels)
    before += session.progress.epoch * size
    while time.perf_counter() < end:
        session.advance()
        feed.look()
    examples = session.progress.epoch * size + session.progress.position - before
    return examples / (time.perf_counter() - begin), examples / (time.thread_time() - cpu)


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
    clock: list[float] = []
    cpu: list[float] = []
    got: list[dict[str, float]] = []
    with Feed(session, "compiled") as feed:
        train(session, feed, seconds)  # caches, clocks of the processor
        for _ in range(rounds):
            alone = train(session, feed, seconds)
            with watched() as found:
                while not session.pace.watched:
                    train(session, feed, 0.1)
                train(session, feed, 1.0)
                beside = train(session, feed, seconds)
            got += found
            while session.pace.watched:
                train(session, feed, 0.1)
            clock.append(100 * (alone[0] / beside[0] - 1))
            cpu.append(100 * (alone[1] / beside[1] - 1))
            console.print(f"{alone[0]:.0f} examples/s alone, {beside[0]:.0f} watched")
    rows = {
        "net": f"{plan.data} {plan.layers}",
        "updates/s": shown([one["updates_per_s"] for one in got]),
        "kB/s": shown([one["bytes_per_s"] / 1000 for one in got]),
        "slower, clock": f"{shown(clock)} %",
        "slower, CPU": f"{shown(cpu)} %",
    }
    print_rows(Console(), rows)


if __name__ == "__main__":
    main()

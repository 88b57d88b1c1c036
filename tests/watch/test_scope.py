"""The oscilloscope: frames for any number of browsers, and a verb that serves them."""

import asyncio
import json
import re
import signal
import subprocess
import sys
from urllib.request import urlopen

import numpy as np

from ohmgrid.watch.scope import FRAMES, MOST_TRACES, POINTS, Scope, Signals

SIGNALS = Signals("a net", [f"u{k}" for k in range(10)], "RC", 0.5, 1.0)


async def told(scope: Scope, count: int) -> list[tuple[str, dict]]:
    """Return the first events of a browser."""
    found = []
    events = scope.events()
    for _ in range(count):
        name, content = await anext(events)
        found.append((name, json.loads(content)))
    return found


def test_a_browser_gets_what_there_is_and_what_comes():
    async def run() -> None:
        scope = Scope(SIGNALS)
        values = np.arange(200.0).reshape(100, 2)
        scope.take(values)
        (hello, head), (kind, frame), (last, state) = await told(scope, 3)
        assert (hello, kind, last) == ("hello", "frame", "state")
        assert head["names"] == SIGNALS.names[:MOST_TRACES]
        # Some of a hundred samples, the newest among them.
        assert len(frame["times"]) <= POINTS
        assert frame["times"][-1] == 50.0
        assert frame["values"][-1] == [198.0, 199.0]
        assert state == {"state": "running"}
        scope.pause(True)
        for _ in range(FRAMES + 5):
            scope.take(values[:1])
        found = await told(scope, FRAMES + 2)
        assert [name for name, _ in found].count("frame") == FRAMES
        assert found[-1] == ("state", {"state": "paused"})
        assert found[-2][1]["times"] == [50.0 + 0.5 * (FRAMES + 5)]
        scope.close()
        assert [name async for name, _ in scope.events()] == ["hello"]

    asyncio.run(run())


def test_a_network_is_shown_until_it_is_interrupted():
    words = ("dynamics", "delay-net", "ring", "--watch", "--engine", "model", "--step", "0.1")
    program = (sys.executable, "-c", "from ohmgrid.cli import main; main()")
    process = subprocess.Popen([*program, *words], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/\S+/", url)
        assert b"Oscilloscope" in urlopen(url).read()
        with urlopen(f"{url}events") as events:
            text = b""
            while text.count(b"event: frame") < 3:
                text += events.readline()
        assert b"ring, gain 4, delay 1 RC, engine model" in text
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.communicate()

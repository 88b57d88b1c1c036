"""``ohmgrid watch`` and ``train --watch``: which run is meant, and what a user reads."""

import http.client
import json
import os
import signal
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from click.testing import CliRunner
from faults import ODD_TEXTS
from watched import session

from ohmgrid.cli import cli

PROGRAM = (sys.executable, "-c", "from ohmgrid.cli import main; main()")
# 5,000 epochs of the golden model: hours.
LONG = ("--engine", "model", "--layers", "16-6-3", "--epochs", "5000")


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    """A folder, and a cache of its own: live runs of others are none of this test's."""
    (tmp_path / "cache").mkdir(mode=0o755)
    monkeypatch.setenv("OHMGRID_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def start(home) -> Iterator:
    """Start the program; it is killed at the end of the test."""
    started: list[subprocess.Popen[str]] = []

    def begin(*words: object) -> subprocess.Popen[str]:
        command = [*PROGRAM, *map(str, words)]
        pipe = subprocess.PIPE
        process = subprocess.Popen(command, stdout=pipe, stderr=subprocess.STDOUT, text=True)
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def line_of(process: subprocess.Popen[str], begin: str) -> str:
    """Return the first line that begins so."""
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith(begin):
            return line.strip()
    raise AssertionError(lines)


class Browser:
    """Reads the events of a page."""

    def __init__(self, url: str) -> None:
        parts = urllib.parse.urlsplit(url)
        self.connection = http.client.HTTPConnection(parts.netloc, timeout=20)
        self.connection.request("GET", parts.path + "events")
        self.events = self.connection.getresponse()

    def until(self, name: str, **wanted: object) -> dict:
        """Return the next event of a name with these values."""
        found = ""
        for raw in self.events:
            line = raw.decode()
            if line.startswith("event: "):
                found = line[7:].strip()
            if line.startswith("data: ") and found == name:
                content = json.loads(line[6:])
                if all(content[key] == value for key, value in wanted.items()):
                    return content
        raise AssertionError(f"no event {name} with {wanted}")

    def close(self) -> None:
        self.events.close()
        self.connection.close()


@pytest.fixture
def browse() -> Iterator:
    """Open a page; it is closed at the end of the test."""
    with ExitStack() as stack:
        yield lambda url: stack.enter_context(closing(Browser(url)))


def ask(url: str, what: str) -> int:
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=20)
    connection.request("POST", parts.path + what, headers={"Origin": f"http://{parts.netloc}"})
    status = connection.getresponse().status
    connection.close()
    return status


def test_a_run_is_watched_paused_and_stopped(start, browse, home, blobs):
    train = start("train", "--data", blobs, *LONG, "--out", home / "a", "--watch")
    own = line_of(train, "page ").split()[1]
    line_of(train, "    0")
    by_name = {}
    for words in ([home / "a"], []):
        watch = start("watch", *words, "--json")
        by_name[str(words)] = json.loads(line_of(watch, "{"))["url"]
    assert len({own, *by_name.values()}) == 3
    pages = [browse(url) for url in (own, *by_name.values())]
    for page in pages:
        hello = page.until("hello")
        assert (hello["engine"], hello["net"]) == ("model", "16-6-3")
        assert len(page.until("weights")["layers"]) == 2
    assert ask(own, "pause") == 204
    at = [page.until("update", paused=True) for page in pages]
    assert len({(one["epoch"], one["position"]) for one in at}) == 1
    assert ask(by_name["[]"], "resume") == 204
    for page in pages:
        page.until("update", paused=False)
    train.send_signal(signal.SIGINT)
    for page in pages:
        page.until("state", state="stopped")
    assert train.wait(20) == 130


def test_a_killed_run_is_lost_and_found_again(start, browse, home, blobs):
    train = start("train", "--data", blobs, *LONG, "--out", home / "a")
    line_of(train, "    1")
    watch = start("watch", home / "a")
    page = browse(line_of(watch, "http://"))
    page.until("state", state="running")
    train.kill()
    page.until("state", state="lost")
    again = start("train", "--resume", "--out", home / "a", "--engine", "model")
    page.until("hello", engine="model")
    page.until("update")
    again.send_signal(signal.SIGINT)
    page.until("state", state="stopped")
    assert again.wait(20) == 130
    watch.send_signal(signal.SIGINT)
    assert watch.wait(20) == 0


def test_a_page_beside_a_short_run_can_still_be_opened(start, browse, home, blobs):
    train = start(
        "train", "--data", blobs, "--engine", "model", "--layers", "16-6-3", "--epochs", 1,
        "--watch", "--json",
    )  # fmt: skip
    url = line_of(train, "page ").split()[1]
    out, _ = train.communicate(timeout=60)
    assert json.loads(out.splitlines()[-1])["epochs"][-1]["epoch"] == 1
    page = browse(url)
    assert [row["epoch"] for row in page.until("update")["rows"]] == [0, 1]
    page.until("state", state="finished")


def test_a_finished_run_is_shown_until_nobody_looks(start, browse, home):
    run = session(epochs=1)
    run.run(lambda: False, lambda progress: None, lambda row: None)
    run.checkpoint().write(home / "checkpoint.npz")
    watch = start("watch", home, "--linger", "1")
    page = browse(line_of(watch, "http://"))
    assert page.until("update")["rows"] == run.history
    page.until("state", state="finished")
    time.sleep(1.5)
    assert watch.poll() is None
    page.close()
    assert watch.wait(20) == 0


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ([], "run: expected one to watch, but nothing trains now; start one with: "),
        (["nothing"], "run: expected a run's folder, or a port or an engine that trains now, got "),
        (["/dev/ttyUSB9"], "trains now, got '/dev/ttyUSB9'; start one with: ohmgrid train --watch"),
        ([""], "run: expected a run's folder, a port or an engine, got ''"),
        (["."], "checkpoint.npz: expected the checkpoint of a run, found no such file"),
        (["a", "--pid", "1"], "pid: expected RUN or --pid, got both ('a' and 1)"),
        (["--pid", "0"], "pid: expected 1..2147483648, got 0"),
        (["--port", "65536"], "port: expected 0..65535, got 65536"),
        (["--linger", "-1"], "linger: expected 0..86400, got -1"),
    ],
)
def test_what_cannot_be_watched_gets_a_line(home, words, line):
    result = CliRunner().invoke(cli, ["watch", *words])
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert line in result.stderr


def test_a_process_that_does_not_train_gets_a_line(home):
    own = os.getpid()
    result = CliRunner().invoke(cli, ["watch", "--pid", str(own)])
    assert (result.exit_code, result.stdout) == (1, "")
    assert f"pid: expected a process that trains, got {own}" in result.stderr


@pytest.mark.parametrize("before", [[], ["--pid"], ["--port"], ["--linger"], ["--nothing"]])
def test_odd_words_get_a_line(home, before):
    for text in ODD_TEXTS:
        result = CliRunner().invoke(cli, ["watch", *before, text])
        assert result.exit_code in (1, 2), text
        assert result.stdout == ""
        assert result.stderr.startswith("error: ")
        assert result.stderr.count("\n") == 1
        assert len(result.stderr) < 1000


@pytest.mark.parametrize("words", [["watch"], ["train", "--watch"]])
def test_a_server_that_is_missing_is_named(home, monkeypatch, words):
    find = __import__("importlib.util").util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name: None if name == "aiohttp" else find(name)
    )
    result = CliRunner().invoke(cli, words)
    assert result.stderr == (
        'error: the page needs aiohttp, which is missing: pip install "ohmgrid[watch]"\n'
    )

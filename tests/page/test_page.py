"""The page in a real browser: Debian's chromium, without a screen; one for all tests.

A test is run by `make test-page` alone, and fails where chromium is missing.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright
from watched import session

pytestmark = pytest.mark.page

NAMES = ("chromium", "chromium-browser")
INSTALL = "apt-get install chromium"
FLAGS = (
    "--no-sandbox",  # chromium refuses to sandbox for root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PROGRAM = (sys.executable, "-c", "from ohmgrid.cli import main; main()")
WIDTHS = {"laptop": (1280, 800), "phone": (390, 844)}
PICTURES = os.environ.get("OHMGRID_PICTURES") and Path(os.environ["OHMGRID_PICTURES"]).absolute()
"""Folder for the picture of the documentation, which is taken on the way."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = next(filter(None, map(shutil.which, NAMES)), None)
    assert path is not None, f"no chromium found; install it: {INSTALL}"
    with sync_playwright() as play:
        # Its user folder is a new and empty one.
        browser = play.chromium.launch(executable_path=path, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture
def show(browser) -> Iterator[Callable[..., Page]]:
    """Open an address; whatever the page complains about fails the test."""
    complaints: list[str] = []
    contexts = []

    def begin(url: str, size: str = "laptop", scheme="light") -> Page:
        width, height = WIDTHS[size]
        context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme
        )
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "console",
            lambda message: complaints.append(message.text) if message.type == "error" else None,
        )
        page.goto(url)
        return page

    begin.complaints = complaints  # type: ignore[attr-defined]
    yield begin
    for context in contexts:
        context.close()
    assert not complaints


@pytest.fixture
def start(tmp_path, monkeypatch) -> Iterator[Callable[..., tuple[subprocess.Popen[str], str]]]:
    """Start a verb in an empty folder; return its process, and the address of its page."""
    monkeypatch.chdir(tmp_path)
    started: list[subprocess.Popen[str]] = []

    def begin(*words: object) -> tuple[subprocess.Popen[str], str]:
        process = subprocess.Popen(
            [*PROGRAM, *map(str, words)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(process)
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if found := re.search(r"http://\S+", line):
                return process, found[0]
        raise AssertionError(lines)

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def drawn(page: Page, selector: str) -> str:
    """Return what a canvas shows."""
    return page.eval_on_selector(selector, "canvas => canvas.toDataURL()")


def overflowing(page: Page) -> list[str]:
    """Return elements whose text does not fit in them, or that stick out of the page."""
    return page.evaluate(
        """() => [...document.querySelectorAll("body *")].filter((element) => {
            if (element.closest(".hidden") || !element.getClientRects().length) return false;
            const box = element.getBoundingClientRect();
            return box.right > innerWidth + 1 || element.scrollWidth > element.clientWidth + 1
                && getComputedStyle(element).display !== "inline";
        }).map((element) => element.outerHTML.slice(0, 120))"""
    )


@pytest.fixture
def saved(tmp_path) -> Path:
    """A run that is done, in a folder."""
    run = session(epochs=3)
    run.run(lambda: False, lambda progress: None, lambda row: None)
    run.checkpoint().write(tmp_path / "checkpoint.npz")
    return tmp_path


def test_a_live_run_is_shown_paused_and_stopped(start, show):
    train, url = start("train", "--engine", "compiled", "--epochs", "20000", "--watch")
    page = show(url)
    expect(page.locator("#state")).to_have_text("running", timeout=60000)
    expect(page.locator("#what")).to_have_text(
        "digits, net 64-32-10, device gokmen-vlasov, engine compiled"
    )
    expect(page.locator(".layer")).to_have_count(2)
    expect(page.locator("#test")).to_have_text(re.compile(r"^9\d\.\d\d %$"), timeout=20000)
    expect(page.locator("#rate")).to_have_text(re.compile(r"\d"))
    expect(page.locator("tbody td").first).to_have_text(re.compile(r"\d"))
    page.wait_for_function(
        "() => parseInt(document.querySelector('#updates').textContent) >= 60", timeout=20000
    )
    # Maps, histograms and curves move.
    selectors = ("#accuracy", "#losses", ".layer:nth-child(1) .cells", ".layer:nth-child(2) .cells")
    selectors = (*selectors, ".layer:nth-child(1) .histogram canvas")
    for selector in selectors:
        page.wait_for_function(
            "([selector, old]) => document.querySelector(selector).toDataURL() !== old",
            arg=[selector, drawn(page, selector)],
            timeout=5000,
        )
    if PICTURES:
        page.screenshot(path=PICTURES / "watch.png", full_page=True)
    # The button is reached and pressed without a mouse.
    page.keyboard.press("Tab")
    expect(page.locator("#pause")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#state")).to_have_text("paused")
    expect(page.locator("#pause")).to_have_text("Resume")
    expect(page.locator("#notice")).to_contain_text("The run is paused")
    page.wait_for_timeout(300)  # what was under way is drawn
    epoch, cells = page.inner_text("#epoch"), drawn(page, selectors[2])
    page.wait_for_timeout(300)
    assert (page.inner_text("#epoch"), drawn(page, selectors[2])) == (epoch, cells)
    page.get_by_label("change since the start").check()
    page.wait_for_function(
        "old => document.querySelector('.layer .cells').toDataURL() !== old", arg=cells
    )
    page.locator("#pause").press("Space")
    expect(page.locator("#state")).to_have_text("running")
    # A page that is loaded again shows the whole history.
    page.reload()
    expect(page.locator("#state")).to_have_text("running")
    expect(page.locator("#test")).to_have_text(re.compile(r"^9\d\.\d\d %$"))
    train.send_signal(signal.SIGINT)
    expect(page.locator("#state")).to_have_text("stopped")
    expect(page.locator("#notice")).to_contain_text("The run was stopped, and can go on")
    expect(page.locator("#pause")).to_be_disabled()
    assert overflowing(page) == []
    assert train.wait(30) == 130


def test_a_killed_run_is_said_to_be_lost(start, show, blobs, tmp_path):
    train, url = start(
        "train", "--data", blobs, "--engine", "model", "--layers", "16-6-3", "--epochs", "5000",
        "--watch", "--out", tmp_path / "a",
    )  # fmt: skip
    page = show(url)
    expect(page.locator("#state")).to_have_text("running")
    train.kill()
    expect(page.locator("#state")).to_have_text("run lost")
    expect(page.locator("#notice")).to_contain_text("ended without a word")
    expect(page.locator("#notice")).to_contain_text(f"ohmgrid watch {tmp_path / 'a'}")


@pytest.mark.parametrize("size", WIDTHS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_finished_run_is_readable_everywhere(start, show, saved, size, scheme):
    _, url = start("watch", saved, "--linger", "5")
    page = show(url, size, scheme)
    expect(page.locator("#state")).to_have_text("finished")
    expect(page.locator("#epoch")).to_have_text("3 of 3")
    expect(page.locator("#pause")).to_be_disabled()
    expect(page.locator(".layer")).to_have_count(2)
    page.wait_for_timeout(300)
    assert overflowing(page) == []
    # Nothing but the page's own files was asked for.
    names = page.evaluate("performance.getEntriesByType('resource').map((one) => one.name)")
    assert names
    assert all(name.startswith(url) for name in names)
    # What is no plain word has an explanation.
    for text in ("clipped outputs (ADC)", "below one pulse", "pulses up"):
        assert page.get_by_text(text, exact=False).first.get_attribute("title")


def test_a_server_that_is_gone_is_said_to_be(start, show, tmp_path):
    session(epochs=2).checkpoint().write(tmp_path / "checkpoint.npz")
    watch, url = start("watch", tmp_path)
    page = show(url)
    expect(page.locator("#state")).to_have_text("stopped")
    expect(page.locator("#notice")).to_contain_text(
        f"Go on with: ohmgrid train --resume --out {tmp_path}"
    )
    watch.send_signal(signal.SIGINT)
    assert watch.wait(10) == 0
    expect(page.locator("#state")).to_have_text("no connection")
    expect(page.locator("#state")).to_have_text("no server", timeout=15000)
    # Chromium's own lines that it cannot connect, and nothing else; a closed page says no more.
    page.close()
    assert all("ERR_" in line for line in show.complaints)
    show.complaints.clear()


@pytest.mark.parametrize(
    "words",
    [
        ("delay-net", "ring", "--neurons", 4, "--step", 0.05),
        ("lif", "--current", 2, "--time", 20),
    ],
)
def test_an_oscilloscope_draws_what_goes_on_and_rests(show, start, words):
    process, url = start("dynamics", *words, "--watch", "--engine", "model")
    page = show(url)
    expect(page.locator("#state")).to_have_text("running")
    expect(page.locator("#what")).to_contain_text("engine model")
    blank = [drawn(page, canvas) for canvas in ("#traces", "#phase")]
    page.wait_for_timeout(1500)
    later = [drawn(page, canvas) for canvas in ("#traces", "#phase")]
    assert all(now != before for now, before in zip(later, blank, strict=True))
    assert not overflowing(page)
    page.locator("#pause").click()
    expect(page.locator("#state")).to_have_text("paused")
    page.wait_for_timeout(300)
    rested = drawn(page, "#traces")
    page.wait_for_timeout(300)
    assert drawn(page, "#traces") == rested
    page.locator("#pause").click()
    expect(page.locator("#state")).to_have_text("running")
    if PICTURES and words[0] == "delay-net":
        page.wait_for_timeout(8000)
        top = {"x": 0, "y": 0, "width": 1280, "height": 360}
        page.screenshot(path=PICTURES / "scope.png", clip=top)
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 0
    show.complaints[:] = [one for one in show.complaints if "ERR_" not in one]

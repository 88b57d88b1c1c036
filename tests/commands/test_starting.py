"""A slow first start says so before, shows how far it is, and says how long it took."""

import io
import os
import subprocess
import sys

import pytest
from rich.console import Console

from ohmgrid.commands import starting as module
from ohmgrid.compiled import jit
from ohmgrid.engines import watch_start

FIRST_START = """
import ohmgrid.compiled.jit as jit
from ohmgrid.config import Config
from ohmgrid.engines import make_core, start_note
from ohmgrid.net import Net
done = []
assert start_note("compiled").startswith("compiling the engine (once on this machine")
with jit.watch(lambda: done.append(1)):
    make_core("compiled", Config(), Net((4, 3))).prepare()
assert start_note("compiled") == ""
print(len(done))
"""


def started(engine: str, terminal: bool) -> str:
    out = io.StringIO()
    with module.starting(engine, Console(file=out, force_terminal=terminal, width=80)):
        jit.kernel(lambda x: x + 1)(1)  # a function is compiled
    return out.getvalue()


@pytest.mark.parametrize("terminal", [False, True])
def test_a_slow_start_is_said_and_shown(monkeypatch, terminal):
    monkeypatch.setattr(module, "start_note", lambda engine: "compiling")
    text = started("compiled", terminal)
    assert "compiling" in text
    assert "ready after" in text
    assert (f" of about {jit.FUNCTIONS} functions" in text) == terminal
    assert "functions" not in started("rtl", terminal)


def test_a_quick_start_says_nothing():
    assert started("model", True) == ""
    assert watch_start("model", lambda: None)[0] == 0


@pytest.mark.slow
def test_a_first_start_compiles_about_as_many_functions_as_it_says(tmp_path):
    env = os.environ | {"OHMGRID_CACHE": str(tmp_path)}
    run = subprocess.run(
        [sys.executable, "-c", FIRST_START], env=env, capture_output=True, text=True, check=True
    )
    assert 0.9 < int(run.stdout) / jit.FUNCTIONS < 1.1

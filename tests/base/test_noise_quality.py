"""The fast part of the evidence for the noise, with fixed seeds; `bench/noise_quality.py` has all.

Each statistic is judged against a limit that a perfect source exceeds with probability 1e-4, and
weaker generators show that the limits bite.
"""

import importlib.util
import json
import os
import sys
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from ohmgrid.model.base import noise
from ohmgrid.registers.noise import CELL_ROUNDS, LINE_INDEX_TURNS

BENCH = Path(__file__).parents[2] / "bench" / "noise_quality.py"


@pytest.fixture(scope="module")
def bench():
    """The benchmark as a module; dataclasses look their module up by name, so it gets one."""
    spec = importlib.util.spec_from_file_location("noise_quality", BENCH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def options(**changes) -> Namespace:
    quiet = Console(quiet=True)
    return Namespace(**{"seed": 1, "rectangles": 19, "steps": 1, "console": quiet, **changes})


def failures(rows) -> list[str]:
    return [f"{row.test}: {row.value:.4g} against {row.limit:.4g}" for row in rows if not row.ok]


PARTS = [
    *("gaussian", "line-keys", "rectangle", "near-keys", "spectrum"),
    pytest.param("correlation", marks=pytest.mark.slow),
]


@pytest.mark.parametrize("part", PARTS)
def test_part_of_the_evidence(bench, part):
    rows = list(bench.PARTS[part](options()))
    assert rows
    assert failures(rows) == []


def test_one_round_less_is_seen(bench, monkeypatch):
    """Two rounds leave parities of a rectangle that the same test finds at once."""
    fewer = noise._RC32_PLANES[: CELL_ROUNDS - 1]
    monkeypatch.setattr(noise, "_RC32_PLANES", fewer)
    rows = list(bench.PARTS["near-keys"](options()))
    assert failures(rows)


def test_a_plain_line_address_is_seen(bench, monkeypatch):
    """Without copies of the sub number, two lines that differ in one of its bits are related."""

    def plain(values, turns):
        return values.astype(np.uint64) << (0 if turns is LINE_INDEX_TURNS else 16)

    monkeypatch.setattr(noise, "_spread", plain)
    rows = list(bench.PARTS["line-keys"](options()))
    assert any("sub bit" in failure for failure in failures(rows))


def test_a_sum_without_a_mix_is_seen(bench, monkeypatch):
    monkeypatch.setattr(bench, "cell_words", np.add)
    for part in ("rectangle", "spectrum"):
        assert failures(bench.PARTS[part](options(rectangles=15))), part


def test_command_prints_one_json_object(bench, capsys):
    assert bench.main(["--parts", "gaussian", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["ok"] is True
    assert {"test", "samples", "value", "limit", "ok"} == set(found["rows"][0])
    assert bench.main(["--parts", "gaussian"]) == 0
    assert "CDF error" in capsys.readouterr().out


def test_dieharder_missing_is_one_line(bench, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(SystemExit, match=r"^dieharder: not found; apt-get install dieharder$"):
        bench.main(["--parts", "dieharder"])


def test_dieharder_tests_are_chosen(bench):
    assert bench.dieharder_tests("all") == [["-a"]]
    assert bench.dieharder_tests("7,203:5") == [["-d", "7"], ["-d", "203", "-n", "5"]]
    for wrong in ("", "7,", "dna", "7:1:2", "-1"):
        with pytest.raises(SystemExit, match="expected all, or tests as in 7,203:5, got"):
            bench.dieharder_tests(wrong)


@pytest.mark.parametrize("stream", ["cells", "lines"])
def test_dieharder_gets_the_words_and_its_answer_is_read(bench, monkeypatch, tmp_path, stream):
    taken = tmp_path / "taken"
    script = f"""#!{sys.executable}
import sys
open({str(taken)!r}, "wb").write(sys.stdin.buffer.read(100_000))
print("        sts_runs|   2|    100000|     100|0.40000000|  PASSED  ")
print("        sts_runs|   3|    100000|     100|0.00000000|  FAILED  ")
"""
    (tmp_path / "dieharder").write_text(script)
    (tmp_path / "dieharder").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    rows = list(bench.dieharder_part(options(dieharder="all", stream=stream, resolve=True)))
    assert [(row.value, row.samples, row.ok) for row in rows] == [
        (0.4, 10_000_000, True),
        (0.0, 10_000_000, False),
    ]
    assert taken.read_bytes()[:1000] == next(bench.STREAMS[stream](1))[:1000]
    whole = bench.words_of(1, 0).tobytes()
    assert (taken.read_bytes() == whole[:100_000]) is (stream == "cells")

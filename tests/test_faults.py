"""Fault injection at the doors: each odd input is refused in one line, or taken and done.

Inputs are made from a seed (`faults.fault`); a failure names seed and number, which repeat it.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import fault_files
import faults
import numpy as np
import pytest
from click.testing import CliRunner

from ohmgrid.cli import cli
from ohmgrid.doors.checks import ConfigError
from ohmgrid.training.runs import read_checkpoint

SEED = int(os.environ.get("OHMGRID_TEST_SEED", "13"))
"""Of all inputs here: the same in every run, unless one asks for others."""
ONLY = os.environ.get("OHMGRID_FAULT")
"""Number of the one input to repeat."""
LIMIT_S = 60


class Hang(BaseException):
    """An input that no answer comes to; no `Exception`, so that the program cannot take it."""


@contextmanager
def limit() -> Iterator[None]:
    """Raise `Hang` after a time; a slow machine is no fault, so it is a long one."""

    def ring(number: int, frame: object) -> None:
        raise Hang

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, LIMIT_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def contents(folder: Path) -> dict[str, bytes | None]:
    """Return all files and folders below a folder."""
    return {
        str(place.relative_to(folder)): place.read_bytes() if place.is_file() else None
        for place in folder.rglob("*")
    }


def wrong(fault: fault_files.Fault, folder: Path) -> str | None:
    """Run an input in an empty folder; return what is wrong with the answer to it."""
    for name, content in fault.files.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    before = contents(folder)
    try:
        with limit():
            result = CliRunner().invoke(cli, list(fault.words))
    except Hang:
        return f"no answer within {LIMIT_S} s"
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        return f"{result.exception!r} escaped"
    if result.exit_code == 0:
        return "accepted" if fault.refused else None
    lines = result.stderr.splitlines()
    if result.exit_code == 70 or len(lines) != 1 or not lines[0].startswith("error: "):
        return f"status {result.exit_code}, stderr {result.stderr[:2000]!r}"
    if result.stdout:
        return f"refused, with stdout {result.stdout[:200]!r}"
    if contents(folder) != before:
        return f"refused, and left {sorted(contents(folder).keys() - before.keys())}"
    return None


def check(count: int, seed: int, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Try inputs; fail with all that are answered wrongly."""
    failed, numbers = [], [int(ONLY)] if ONLY else range(count)
    for number in numbers:
        door, fault = faults.fault(seed, number)
        folder = root / str(number)
        folder.mkdir()
        monkeypatch.chdir(folder)
        problem = wrong(fault, folder)
        if problem is not None:
            words = " ".join(map(repr, fault.words))[:300]
            failed.append(
                f"OHMGRID_TEST_SEED={seed} OHMGRID_FAULT={number} {door} {words}: {problem}"
            )
    assert not failed, "\n".join(failed)


def test_odd_inputs_get_one_line(tmp_path, monkeypatch):
    check(200, SEED, tmp_path, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("turn", range(1, 6))
def test_more_odd_inputs_get_one_line(turn, tmp_path, monkeypatch):
    check(2000, SEED + turn, tmp_path, monkeypatch)


def test_the_check_sees_wrong_answers(tmp_path, monkeypatch):
    """A good input that is said to be odd, an exception, a fault of the program, a file left."""
    monkeypatch.chdir(tmp_path)
    good = fault_files.Fault(("config",), refused=True)
    assert wrong(good, tmp_path) == "accepted"

    def put(action):
        monkeypatch.setattr("ohmgrid.commands.show.choose", action)

    def leave(options):
        (tmp_path / "left").write_text("")
        raise ConfigError("a", "b")

    def fault_of_ours(options):
        raise ValueError("x")

    def hang(options):
        raise Hang

    for action, said in (
        (leave, "left ['left']"),
        (fault_of_ours, "status 70"),
        (hang, "no answer"),
    ):
        put(action)
        assert said in str(wrong(fault_files.Fault(("config",)), tmp_path))


def test_inputs_are_the_same_for_a_seed_and_others_for_another():
    for number in range(40):
        assert faults.fault(5, number) == faults.fault(5, number)
    assert faults.fault(5, 4) != faults.fault(6, 4)


def refusal(path: Path) -> str:
    """Return why a checkpoint is refused, or nothing."""
    try:
        read_checkpoint(path)
    except ConfigError as error:
        return str(error)
    return ""


def flip(count: int, path: Path) -> None:
    """Flip single bytes of a checkpoint; each must be refused in one line."""
    whole, rng = fault_files.checkpoint(), np.random.default_rng(SEED)
    for number in range(count):
        data = bytearray(whole)
        place, change = int(rng.integers(len(data))), int(rng.integers(1, 256))
        data[place] ^= change
        path.write_bytes(data)
        said = refusal(path)
        assert said.count("\n") == 0 < len(said), (
            f"OHMGRID_TEST_SEED={SEED}, flip {number}: byte {place} ^ {change}: {said!r}"
        )


def test_flipped_bytes_of_a_checkpoint_are_refused(tmp_path):
    flip(200, tmp_path / "checkpoint.npz")


@pytest.mark.slow
def test_many_flipped_bytes_of_a_checkpoint_are_refused(tmp_path):
    flip(10_000, tmp_path / "checkpoint.npz")

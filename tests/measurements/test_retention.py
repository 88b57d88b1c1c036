"""Readings over time give the lifetime of a leak."""

from pathlib import Path

import numpy as np
import pytest

from ohmgrid.doors.checks import ConfigError
from ohmgrid.measurements.retention import read_retention


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("head", "seconds"),
    [("minutes,volts", 60), ("t (h),V", 3600), ("time_s,charge", 1), ("t,g", 1), ("", 1)],
)
def test_a_decay_gives_its_lifetime(
    tmp_path: Path, head: str, seconds: float, rng: np.random.Generator
):
    t = np.arange(12) * 60.0
    v = 0.9 * np.exp(-t / 700) + rng.normal(0, 1e-4, 12)
    rows = "\n".join(f"{a:g},{b:.5f}" for a, b in zip(t, v, strict=True))
    found = read_retention(write(tmp_path / "r.csv", f"{head}\n{rows}\n" if head else rows))
    assert found.lifetime_s == pytest.approx(700 * seconds, rel=0.01)
    assert found.first == pytest.approx(0.9, rel=0.01)
    assert found.misfit < 1e-3
    assert found.read.startswith(f"12 readings over {660 * seconds:g} s")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("minutes,volts\n0,1\n1,0.9\n", "expected at least 4 readings, got 2"),
        ("minutes,volts\n0,1\n1,0.9\n1,0.8\n2,0.7\n", "line 4: expected times that grow"),
        ("minutes,volts\n0,1\n1,1.1\n2,1.2\n3,1.3\n", "expected values that decay towards 0"),
        ("minutes,volts\n0,1\n1,x\n2,1.2\n3,1.3\n", "line 3: value: expected a number, got 'x'"),
        ("0,1,2\n1,1,2\n2,1,2\n3,1,2\n", "expected two columns, time and value, got 3"),
        ("", "got nothing"),
    ],
)
def test_wrong_files_get_one_line(tmp_path: Path, text: str, line: str):
    path = write(tmp_path / "r.csv", text)
    with pytest.raises(ConfigError, match=line) as caught:
        read_retention(path)
    assert str(path) in str(caught.value)

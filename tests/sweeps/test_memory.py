"""What many runs leave in memory: nothing that would fill a machine."""

import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[2] / "bench" / "sweep_memory.py"


@pytest.mark.slow
def test_a_sweep_of_thousands_keeps_next_to_nothing_of_a_run():
    # With a profile of each second, which workers kept once, it was 12 KiB a run.
    words = [sys.executable, str(BENCH), "--runs", "3000", "--most", "8"]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr

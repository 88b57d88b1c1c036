"""Sweeps on workers: every result once, equal to runs done alone, whoever is killed."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ohmgrid.sweeps.spec import load_sweep
from ohmgrid.sweeps.work import run_text

SAME = ("test_accuracy", "train_loss", "state_sha256", "config_sha256", "seed", "engine")


def command(path: Path, *more: str) -> list[str]:
    out = str(path.parent / "out")
    return [sys.executable, "-m", "ohmgrid", "sweep", str(path), "--out", out, "--json", *more]


def rows_of(path: Path) -> list[dict[str, str]]:
    with (path.parent / "out" / "results.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_sweep_is_its_runs_and_goes_on_where_it_was(tmp_path):
    path = tmp_path / "sweep.toml"
    path.write_text(
        '[sweep]\nengine = "model"\n[sweep.over]\ntraining.layers = ["64-10", "64-9"]\n'
        'device = ["gokmen-vlasov", "ecram"]\n[training]\nepochs = 1\ndata = "DATA"\n'.replace(
            "DATA", str(few(tmp_path))
        )
    )
    first = subprocess.run(command(path, "--workers", "1"), capture_output=True, text=True)
    found = json.loads(first.stdout)
    # Ten classes do not fit nine outputs: those are the runs that failed.
    assert (first.returncode, found["rows"], found["failed"]) == (1, 2, 2)
    failures = (tmp_path / "out" / "failures.csv").read_text()
    assert "expected 10 or more" in failures or "layers" in failures
    rows = rows_of(path)
    alone = [run_text(run.text, "model") for run in load_sweep(path).runs() if "64-10" in run.text]
    assert sorted([row[name] for name in SAME] for row in rows) == sorted(
        [str(one[name]) for name in SAME] for one in alone
    )
    path.write_text(path.read_text().replace('"64-9"', '"64-11"'))
    second = subprocess.run(
        command(path, "--workers", "1", "--plot", "device,training.layers"),
        capture_output=True,
        text=True,
    )
    assert second.returncode == 0, second.stderr
    assert json.loads(second.stdout)["rows"] == 4
    assert rows_of(path)[:2] == rows
    assert (tmp_path / "out" / "sweep.png").stat().st_size > 1000


def few(folder: Path) -> Path:
    """Write a data set of forty examples."""
    import numpy as np
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    path = folder / "few.npz"
    x, y = images[:40].astype(np.float64) / 16, labels[:40]
    np.savez(path, x_train=x, y_train=y, x_test=x[:20], y_test=y[:20])
    return path


@pytest.mark.slow
def test_a_killed_worker_and_a_killed_client_cost_no_result_and_make_none_twice(tmp_path):
    path = tmp_path / "sweep.toml"
    path.write_text(
        "[sweep.over]\nseed = {low = 1, high = 500, whole = true}\n"
        'device = ["gokmen-vlasov", "ecram"]\n[training]\nlayers = "64-10"\nepochs = 1\n'
    )
    table = tmp_path / "out" / "results.csv"

    def lines() -> int:
        return table.read_text().count("\n") - 1 if table.exists() else 0

    def wait(rows: int) -> None:
        end = time.monotonic() + 300
        while lines() < rows and time.monotonic() < end:
            time.sleep(0.1)
        assert lines() >= rows

    client = subprocess.Popen(command(path, "--workers", "2"), start_new_session=True)
    wait(100)
    workers = subprocess.run(
        ["pgrep", "-f", "multiprocessing.*spawn_main", "-s", str(client.pid)],
        capture_output=True,
        text=True,
    ).stdout.split()
    assert workers
    os.kill(int(workers[-1]), signal.SIGKILL)
    wait(300)
    os.killpg(client.pid, signal.SIGKILL)
    client.wait()
    before = lines()
    assert before < 1000
    done = subprocess.run(command(path, "--workers", "2"), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rows = rows_of(path)
    assert len(rows) == len({row["run"] for row in rows}) == 1000
    by_name = {row["run"]: row for row in rows}
    for run in [*load_sweep(path).runs()][::97]:
        alone = run_text(run.text, "compiled")
        assert [by_name[run.name][name] for name in SAME] == [str(alone[name]) for name in SAME]

"""What a sweep of many runs keeps: memory of the client and of its workers, over the runs.

``python bench/sweep_memory.py --runs 10000`` has one worker or several train as many nets, as small
as nets can be, so that what a run leaves behind shows. It prints the resident memory of the client
and of the largest worker at each tenth of the runs, and what a run added to each in the second
half, by a line through all that was seen there: what is loaded or cached at the beginning is done
by then. With ``--most`` it fails where that is more.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
import numpy as np

SWEEP = """
[sweep]
engine = "{engine}"
[sweep.over]
seed = {{low = 1, high = {runs}, whole = true}}
[training]
data = "{data}"
layers = "4-2"
epochs = 1
"""
MIB = 1024


def resident(process: str) -> int:
    """Return the resident memory of a process in KiB; 0 if it has ended."""
    try:
        status = Path("/proc", process, "status").read_text()
    except OSError:
        return 0
    found = [line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")]
    return int(found[0]) if found else 0


def below(process: str) -> list[str]:
    """Return the numbers of all processes below one."""
    try:
        own = Path("/proc", process, "task").glob("*/children")
        children = [child for file in own for child in file.read_text().split()]
    except OSError:
        return []
    return [*children, *(one for child in children for one in below(child))]


def a_run(rows: list[tuple[int, int, int]], column: int) -> float:
    """Return what a run adds to a column in the second half, in KiB."""
    done = np.array([row[0] for row in rows], float)
    late = done >= done[-1] / 2
    return float(np.polyfit(done[late], np.array([row[column] for row in rows])[late], 1)[0])


@click.command()
@click.option("--runs", type=click.IntRange(20), default=1000, help="[1000]")
@click.option("--workers", type=click.IntRange(1), default=1, help="[1]")
@click.option("--engine", default="compiled", help="[compiled]")
@click.option("--most", type=float, help="KiB that a run may add; more: exit status 1.")
def main(runs: int, workers: int, engine: str, most: float | None) -> None:
    """Measure; see the module's text."""
    rng = np.random.default_rng(1)
    with tempfile.TemporaryDirectory(prefix="ohmgrid-sweep-") as folder:
        data, file, out = (Path(folder, name) for name in ("few.npz", "sweep.toml", "out"))
        x, y = rng.random((10, 4)), np.arange(10) % 2
        np.savez(data, x_train=x, y_train=y, x_test=x[:4], y_test=y[:4])
        file.write_text(SWEEP.format(engine=engine, runs=runs, data=data))
        words = [sys.executable, "-m", "ohmgrid", "sweep", str(file), "--out", str(out), "--json"]
        client = subprocess.Popen([*words, "--workers", str(workers)], stdout=subprocess.DEVNULL)
        rows: list[tuple[int, int, int]] = []
        table = out / "results.csv"
        began = time.monotonic()
        try:
            while client.poll() is None:
                time.sleep(0.2)
                done = table.read_bytes().count(b"\n") - 1 if table.exists() else 0
                largest = max(map(resident, below(str(client.pid))), default=0)
                if done > (rows[-1][0] if rows else 0) and largest:
                    rows.append((done, resident(str(client.pid)), largest))
                if done >= runs:
                    break  # what ends is no longer measured
            took = time.monotonic() - began
            if client.wait() or not rows:
                raise click.ClickException("the sweep failed; its error is above")
        finally:
            client.kill()
    click.echo(f"{runs} runs, {workers} workers, {engine}: {took:.0f} s")
    click.echo("  runs  client, MiB  worker, MiB")
    for part in range(1, 11):
        done, own, worker = min(rows, key=lambda row: abs(row[0] - runs * part / 10))
        click.echo(f"{done:6}{own / MIB:13.1f}{worker / MIB:13.1f}")
    added = [a_run(rows, column) for column in (1, 2)]
    click.echo(f"a run of the second half adds {added[0]:.3f} KiB, in a worker {added[1]:.3f} KiB")
    if most is not None and max(added) > most:
        raise click.ClickException(f"expected at most {most} KiB a run")


if __name__ == "__main__":
    main()

"""Fault injection in the caches: what is damaged is rebuilt or refused, never run.

Each test starts a process of its own for the loading: what is loaded wrongly ends a process with
SIGSEGV or SIGBUS, and that is what is looked for. A failure prints the seed and the number of the
damage. (Damages of folders and sealed files alone: `test_published`.)
"""

import os
import subprocess
import sys

import pytest

SEED = os.environ.get("OHMGRID_TEST_SEED", "13")

DAMAGE = '''
import sys
from pathlib import Path
import numpy as np
from ohmgrid.storage import cache

seed, count = int(sys.argv[1]), int(sys.argv[2])

def damage(files, number):
    """Damage one of some files; return what was done."""
    rng = np.random.default_rng([seed, number])
    file = files[int(rng.integers(len(files)))]
    data = bytearray(file.read_bytes())
    kind = ("flip", "flip", "flip", "cut", "delete", "zeros", "other")[number % 7]
    if kind == "flip":
        for _ in range(int(rng.integers(1, 4))):
            data[rng.integers(len(data))] ^= 1 << int(rng.integers(8))
    elif kind == "cut":
        del data[rng.integers(len(data)):]
    elif kind == "zeros":  # what a power cut leaves of blocks that were never written
        at = int(rng.integers(len(data)))
        data[at : at + 4096] = bytes(len(data[at : at + 4096]))
        if bytes(data) == file.read_bytes():
            data[at] ^= 1
    elif kind == "other":
        data = bytearray(rng.bytes(50))
    file.unlink()
    if kind != "delete":
        file.write_bytes(data)
    cache.note.cache_clear()
    print(number, kind, file.name, flush=True)
'''

KERNEL = """
from ohmgrid.compiled import arith, jit

def misses():
    kernel = jit.kernel(arith.divide_round.py_func)
    assert [kernel(value, 4) for value in (4, 6, 10)] == [1, 2, 2]
    return sum(kernel.stats.cache_misses.values())

assert misses() == 1
for number in range(count):
    (file,) = cache.cache_dir().rglob("*.divide_round-*")
    damage([file], number)
    assert misses() == 1, "a damaged kernel was taken"
    assert misses() == 0, "a kernel was not kept again"
"""
"""A real kernel, compiled anew after each damage."""

LIBRARY = """
import shutil
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from ohmgrid.sim.cxxrtl import library as cxxrtl

class Gate(wiring.Component):
    a: In(4)
    o: Out(4)

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.o.eq(~self.a)
        return m

made = 0
real = cxxrtl.make_library
good = Path(sys.argv[3])

def make(text, name, work, *, fast):
    # A C++ compiler takes seconds for what was compiled before: after two rebuilds, a copy.
    global made
    made += 1
    if made <= 2:
        real(text, name, work, fast=fast)
        shutil.copytree(work, good, dirs_exist_ok=True)
    else:
        shutil.copytree(good, work, dirs_exist_ok=True)

cxxrtl.make_library = make

def check():
    recipe = cxxrtl.recipe(Gate(), "gate")
    sim = recipe.build().instance()
    sim.set("a", 5)
    assert sim.get("o") == 10
    return recipe.build().folder

folder = check()
for number in range(count):
    assert made == number + 1
    files = sorted(file for file in folder.rglob("*") if file.is_file() and file.stat().st_size)
    damage(files, number)
    assert not cxxrtl.recipe(Gate(), "gate").built
    assert check() == folder
"""
"""A real library of a small component."""


def injure(script: str, count: int, tmp_path) -> None:
    """Run damages in a process of their own; fail with the last one where it did not end well."""
    done = subprocess.run(
        [sys.executable, "-c", DAMAGE + script, SEED, str(count), str(tmp_path / "good")],
        env=os.environ | {"OHMGRID_CACHE": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    lines = done.stdout.splitlines()
    last = f"OHMGRID_TEST_SEED={SEED}, after damage: {lines[-1] if lines else 'none'}"
    assert done.returncode == 0, f"{last}, status {done.returncode}\n{done.stderr[-2000:]}"
    assert len(lines) == count
    # One line for each damage that can be seen; a file deleted may be one that is just not there.
    said = done.stderr.splitlines()
    assert len(said) <= count, done.stderr[-2000:]
    assert all(line.endswith("; it is built anew") for line in said), done.stderr[-2000:]


def test_damaged_kernels_are_compiled_anew(tmp_path):
    injure(KERNEL, 7, tmp_path)


def test_damaged_libraries_are_built_anew(tmp_path):
    injure(LIBRARY, 7, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("script", [KERNEL, LIBRARY], ids=["kernel", "library"])
def test_a_hundred_damages(script, tmp_path):
    injure(script, 105, tmp_path)


TRAIN = "from ohmgrid.cli import main; main()"


@pytest.mark.slow
def test_two_processes_on_an_empty_cache(tmp_path):
    """Both compile all kernels at the same time; both are right, and one set is kept."""
    words = ("train", "--data", "digits", "--layers", "64-8-10", "--epochs", "1", "--json")
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", TRAIN, *words],
            env=os.environ | {"OHMGRID_CACHE": str(tmp_path)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    said = [racer.communicate(timeout=1200) for racer in racers]
    assert [racer.returncode for racer in racers] == [0, 0], said
    hashes = {out.split('"state_sha256": "')[1][:64] for out, _ in said}
    assert len(hashes) == 1
    assert all("damaged" not in err and "Traceback" not in err for _, err in said)
    left = [entry.name for entry in (tmp_path / "compiled").rglob("*")]
    assert not [name for name in left if name.startswith(".")]
    assert sum(name.startswith("ohmgrid.compiled.learning.count_hits-") for name in left) == 1

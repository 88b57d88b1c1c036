"""Compiled kernels come from the cache, whole and made from these sources, or are compiled."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import ohmgrid
from ohmgrid.compiled import arith, jit
from ohmgrid.storage import cache, published

ROOT = Path(ohmgrid.__file__).parent


@pytest.fixture
def root(monkeypatch, tmp_path):
    """A cache of the test's own."""
    monkeypatch.setenv("OHMGRID_CACHE", str(tmp_path / "cache"))
    cache.note.cache_clear()
    yield tmp_path / "cache"
    for folder in list(published._in_use):
        if tmp_path in folder.parents:
            published._leave(folder)


def python(function: Any) -> Any:
    """Return what a kernel is made from."""
    return function.py_func


def compiled_anew() -> bool:
    """Call a kernel in a fresh dispatcher; return whether it had to be compiled."""
    again = jit.kernel(python(arith.divide_round))
    assert [again(value, 4) for value in (4, 6, 10)] == [1, 2, 2]
    assert sum(again.stats.cache_hits.values()) + sum(again.stats.cache_misses.values()) == 1
    return bool(again.stats.cache_misses)


def test_a_kernel_is_compiled_once(root):
    assert compiled_anew()
    assert not compiled_anew()
    (file,) = root.rglob("ohmgrid.compiled.arith.divide_round-*")
    assert file.parent.parent == root / "compiled"


def test_a_damaged_kernel_is_compiled_anew(root, rng, caplog):
    assert compiled_anew()
    (file,) = root.rglob("ohmgrid.compiled.arith.divide_round-*")
    whole = file.read_bytes()
    for cut in (False, True) * 5:
        data = bytearray(whole)
        if cut:
            del data[rng.integers(len(data)) :]
        else:
            data[rng.integers(len(data))] ^= 1 << int(rng.integers(8))
        file.write_bytes(data)
        cache.note.cache_clear()
        caplog.clear()
        assert compiled_anew()
        (record,) = caplog.records
        assert record.getMessage() == f"{file}: damaged; it is built anew"
        assert not compiled_anew()


def test_a_kernel_under_another_one_s_name_is_not_taken(root):
    """What stands in the file decides: here of the same types, and of another function."""
    assert compiled_anew()
    (file,) = root.rglob("*.divide_round-*")
    other = jit.kernel(python(arith.divide_floor))
    assert other(7, 2) == 3
    (wrong,) = root.rglob("*.divide_floor-*")
    shutil.copy(wrong, file)
    assert compiled_anew()


def test_a_full_disk_costs_the_cache_and_nothing_else(root, monkeypatch, caplog):
    def full(path, content):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(jit, "write_sealed", full)
    assert compiled_anew()
    (record,) = caplog.records
    assert record.getMessage() == (
        f"{root}: No space left on device; compiled functions are not kept"
    )


def test_functions_of_other_modules_are_not_kept(root):
    def double(x):
        return 2 * x

    assert jit.kernel(double)(21) == 42
    assert not root.exists()


def test_python_cannot_call_what_kernels_call(root):
    with pytest.raises(TypeError, match="not callable"):
        arith.divide_round(6, 4)
    assert not root.exists()


KERNEL = (
    "from ohmgrid.compiled import arith, jit; print(jit.kernel(arith.divide_round.py_func)(6, 4))"
)
LAW = (
    "import numpy as np; from ohmgrid.compiled import jit, readout; "
    "print(jit.kernel(readout._root.py_func)(1 << 20, np.full(19, 12)))"
)


@pytest.mark.parametrize("writable", [True, False])
@pytest.mark.parametrize(
    ("file", "function", "call", "results"),
    [
        ("compiled/arith.py", "divide_round", KERNEL, ("2", "1002")),
        # What a kernel takes from the golden model.
        ("model/periphery/readout.py", "scaled", LAW, ("185363", "185366")),
    ],
)
def test_changed_code_is_never_run_from_before(file, function, call, results, tmp_path, writable):
    """Also where nothing can be kept: nothing is put beside the sources, and nothing taken."""
    copied = Path(
        shutil.copytree(
            ROOT, tmp_path / "src" / "ohmgrid", ignore=shutil.ignore_patterns("__pycache__")
        )
    )
    place = tmp_path / "cache"
    if not writable:
        place.write_text("")
    source = copied / file
    text = source.read_text()

    def run() -> str:
        done = subprocess.run(
            [sys.executable, "-c", call],
            env=os.environ | {"OHMGRID_CACHE": str(place), "PYTHONPATH": str(copied.parent)},
            capture_output=True,
            text=True,
            check=True,
        )
        assert ("a temporary cache is used" in done.stderr) != writable
        return done.stdout.strip()

    assert run() == results[0]
    start = text.index(f"def {function}(")
    at = text.index("    return ", start) + len("    return ")
    source.write_text(f"{text[:at]}1000 + {text[at:]}")
    assert run() == results[1]
    source.write_text(text)
    assert run() == results[0]
    assert not [file for file in copied.rglob("*") if file.suffix in (".nbi", ".nbc")]

"""A library is loaded whole or built anew, and is as CXXRTL has it where rewriting is in doubt."""

import numpy as np
import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ohmgrid.sim.cxxrtl import library as cxxrtl
from ohmgrid.sim.cxxrtl import make as cxxrtl_make
from ohmgrid.sim.cxxrtl import words as cxxrtl_words
from ohmgrid.storage import cache
from ohmgrid.tools import toolchain


class Sum(wiring.Component):
    """Adds up ``a & b``."""

    a: In(8)
    b: In(8)
    o: Out(12)

    def elaborate(self, platform):
        m = Module()
        m.d.sync += self.o.eq(self.o + (self.a & self.b))
        return m


@pytest.fixture(autouse=True)
def place(monkeypatch, tmp_path):
    """A cache of the test's own."""
    monkeypatch.setenv("OHMGRID_CACHE", str(tmp_path))
    cache.note.cache_clear()
    return tmp_path / "cxxrtl"


def check(library: cxxrtl.Library, single: bool) -> None:
    """Run a library; see whether it is the fast one, which settles in one evaluation."""
    sim = library.instance()
    total = 0
    for a, b in np.random.default_rng(1).integers(0, 256, (50, 2)).tolist():
        sim.set("a", a)
        sim.set("b", b)
        assert sim.get("o") == total
        sim.step()
        total = (total + (a & b)) % 4096
    assert f"SINGLE_PASS {int(single)}" in (library.folder / "ports.inc").read_text()


def test_a_damaged_library_is_never_loaded(place, rng, caplog):
    recipe = cxxrtl.recipe(Sum(), "sum")
    folder = recipe.build().folder
    file = folder / "library.so"
    whole = file.read_bytes()
    for turn in range(100):
        data = bytearray(whole)
        if turn % 2:
            del data[rng.integers(len(data)) :]
        else:
            data[rng.integers(len(data))] ^= 1 << int(rng.integers(8))
        # A new file: the old one is mapped into this process.
        file.unlink()
        file.write_bytes(data)
        cache.note.cache_clear()
        caplog.clear()
        assert not recipe.built
        (record,) = caplog.records
        assert record.getMessage() == f"{folder}: damaged; it is built anew"
    check(recipe.build(), single=True)
    assert recipe.built


def test_words_that_are_not_known_are_not_rewritten(monkeypatch, caplog):
    monkeypatch.setattr(cxxrtl_words, "_KNOWN", cxxrtl_words._KNOWN - {"slice", "curr"})
    check(cxxrtl.build(Sum(), "sum"), single=False)
    (record,) = caplog.records
    assert record.getMessage() == (
        "sum: yosys writes curr, slice, which is not known here; it is built as CXXRTL does it: "
        "the same bits, slower"
    )


def test_an_untested_yosys_is_compared_with_the_plain_library(monkeypatch, caplog):
    monkeypatch.setattr(cxxrtl_make, "TESTED_YOSYS", ("0.1",))
    library = cxxrtl.build(Sum(), "sum")
    check(library, single=True)
    yosys = toolchain.find("yosys", native=False)
    (record,) = caplog.records
    assert record.getMessage() == (
        f"sum: {yosys} is not tested here, its library is compared with a plain one"
    )
    assert not (library.folder / "plain").exists()


def test_a_rewriting_that_is_wrong_is_found_and_not_used(monkeypatch, caplog):
    monkeypatch.setattr(cxxrtl_make, "TESTED_YOSYS", ())
    right = cxxrtl_make.specialise
    monkeypatch.setattr(
        cxxrtl_make, "specialise", lambda cpp: right(cpp).replace("and_uu", "or_uu")
    )
    check(cxxrtl.build(Sum(), "sum"), single=False)
    _, record = caplog.records
    assert record.getMessage() == (
        "sum: its fast library differs in cycle 1 at o; it is built as CXXRTL does it: the same "
        "bits, slower"
    )


def test_the_installed_yosys_is_one_that_was_tested():
    """A new one: run all tests with it, then add it to the list."""
    version = toolchain.find("yosys", native=False).version
    assert ".".join(version.split(".")[:2]) in cxxrtl_make.TESTED_YOSYS

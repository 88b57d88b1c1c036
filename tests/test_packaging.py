"""The package: what is installed, who imports whom, and a golden twin for each gateware file."""

import ast
import importlib
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest

import ohmgrid

ROOT = Path(__file__).parents[1]
FOLDERS = ("hdl", "model", "sim", "boards")
LINKS = {ROOT / "src" / "ohmgrid" / folder for folder in FOLDERS}


def modules(folder: Path) -> list[Path]:
    """Return the Python files below a folder, each once: by its real folder, not by a link."""
    return sorted(file for file in folder.rglob("*.py") if not LINKS & set(file.parents))


def installed(file: Path) -> str:
    """Return the place of a file of the repository inside the installed package."""
    place = file.relative_to(ROOT)
    return "/".join(place.parts[1:] if place.parts[0] == "src" else ("ohmgrid", *place.parts))


PACKAGE_FILES = [file for folder in ("src", *FOLDERS) for file in modules(ROOT / folder)]
C_SOURCES = [ROOT / "src/ohmgrid/studies/plain_sgd.c"]
"""Links to files that a reader looks for elsewhere, and that the package needs."""
PACKAGES = [file.parent for file in PACKAGE_FILES if file.name == "__init__.py"]

# Gateware that carries bits and computes none, so that there is nothing a model could decide.
NO_TWIN = {
    "base/pipeline": "delays a value",
    "base/timed": "delays the operands of a computation to the cycle that needs them",
    "base/multiplier": "multiplies in a vendor's block: the model writes *",
    "base/own_register": "delays a bit",
    "base/stations": "delays words of a stream",
    "base/block_ram": "holds words: the model has arrays",
    "base/sdram": "brings words to a chip and back: the model has arrays",
    "base/products": "multiplies, in LUTs or in blocks: the model writes *",
    "base/popcount": "counts ones: the model calls numpy.bitwise_count",
    "device/ports": "describes the ports of the device unit",
    "device/tables": "holds what a host writes",
    "periphery/edge": "holds vectors",
    "base/carry": "adds: the model writes +",
    "base/quotient": "divides: the model writes //",
    "array/bundles": "describes what travels through an array",
    "array/cells": "goes from cell to cell: the model indexes arrays",
    "core/array_table": "holds what a host writes",
    "array/lane": "reads a cell, ands two trains, adds a product: the model does so over the array",
    "link/linked_core": "connects link, store and core, which have twins each",
    "link/linked_unit": "connects link and dynamics unit, which have twins each",
    "array/group": "brings the cells of some lanes to a device unit, in any order",
}

# Parts of one calculation, each a file in the gateware and all in one file of the model; their
# tests are those of the whole.
PARTS = {
    "device/static": "device/step",
    "device/curve": "device/step",
    "array/cell_port": "array/array",
    "array/due_pairs": "core/refresh",
    "array/line_sums": "array/array",
    "periphery/activation": "periphery/functions",
    "periphery/exponential": "periphery/functions",
    "periphery/function_job": "periphery/functions",
    "periphery/scaling": "periphery/functions",
    "periphery/sums": "periphery/functions",
    "periphery/passes": "periphery/lines",
    "periphery/values": "periphery/lines",
    "core/commands": "core/sequencer",
    "core/counters": "core/sequencer",
    "core/maxima": "core/sequencer",
    "core/onward": "core/sequencer",
    "core/example_decoder": "core/example_store",
    "core/example_memory": "core/example_store",
    "core/sdram_examples": "core/example_store",
    "core/jobs": "core/core",
    "core/key_desk": "core/core",
    "core/loader": "core/core",
    "core/settings": "core/core",
    "core/multiply": "core/operations",
    "core/pulser": "core/operations",
    "core/taker": "core/sequencer",
    "core/misuse": "core/sequencer",
    "core/update": "core/operations",
    "core/averages": "core/transfer_laws",
    "core/between": "core/transfer",
    "core/buffers": "core/transfer",
    "core/choppers": "core/transfer",
    "dynamics/arithmetic": "dynamics/laws",
    "dynamics/crossbar": "dynamics/network",
    "dynamics/events": "dynamics/neurons",
    "dynamics/on_core": "dynamics/network",
    "dynamics/steps": "dynamics/laws",
    "dynamics/unit": "dynamics/network",
    "link/frame_receiver": "link/endpoint",
    "link/frame_sender": "link/endpoint",
    "link/packer": "link/records",
    "link/unpacker": "link/records",
}


def imported(file: Path, package: str) -> set[str]:
    """Return the full names of the modules a file imports, in functions too."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = [*package.split(".")[: 1 - node.level or None]] if node.level else []
            origin = ".".join([*base, *([node.module] if node.module else [])])
            names.add(origin)
            names.update(f"{origin}.{alias.name}" for alias in node.names)
    return names


def offenders(files: list[Path], package: str, banned: set[str]) -> dict[str, set[str]]:
    """Return the files that import something banned, and what."""
    found = {}
    for file in files:
        names = {
            name
            for name in imported(file, package)
            if any(name == top or name.startswith(f"{top}.") for top in banned)
        }
        if names:
            found[file.name] = names
    return found


# What needs an extra that development does without: its own tests import it (`make test-torch`).
EXTRA = ROOT / "src" / "ohmgrid" / "torch"


@pytest.mark.parametrize(
    "folder",
    [folder for folder in PACKAGES if folder != EXTRA],
    ids=lambda folder: str(folder.relative_to(ROOT)),
)
def test_the_packages_import(folder):
    assert importlib.import_module(installed(folder).replace("/", ".")).__doc__


def changelog_faults(text: str, version: str) -> list[str]:
    """Return what is wrong with the headings of a changelog, for a package of this version.

    Sections are releases, the newest first, each with its date, the newest of this version; above
    them may stand what is not released. Before the first release there is that alone.
    """
    sections = re.findall(r"^## (.*)$", text, re.MULTILINE)
    if sections[:1] == ["[Unreleased]"]:
        sections, unreleased = sections[1:], True
    else:
        unreleased = False
    releases = []
    for section in sections:
        match = re.fullmatch(r"\[(\d+)\.(\d+)\.(\d+)\] - \d{4}-\d\d-\d\d", section)
        if match is None:
            return [f"expected [VERSION] - DATE, got {section!r}"]
        releases.append(tuple(map(int, match.groups())))
    faults = []
    if not releases and not unreleased:
        faults.append("no section")
    if releases != sorted(set(releases), reverse=True):
        faults.append("releases are not in order")
    if releases and releases[0] != tuple(map(int, version.split("."))):
        faults.append(f"the newest release is not {version}")
    return faults


def test_the_versions_agree():
    assert version("ohmgrid") == ohmgrid.__version__
    assert not changelog_faults((ROOT / "CHANGELOG.md").read_text(), ohmgrid.__version__)


@pytest.mark.parametrize(
    ("sections", "fault"),
    [
        (["[Unreleased]"], None),
        (["[Unreleased]", "[0.2.0] - 2026-01-02", "[0.1.0] - 2026-01-01"], None),
        (["[0.2.0] - 2026-01-02"], None),
        ([], "no section"),
        (["[0.1.0] - 2026-01-01"], "not 0.2.0"),
        (["[0.2.0]"], "VERSION"),
        (["[Unreleased]", "[0.2.0] - 2026-01-02", "[0.3.0] - 2026-01-01"], "order"),
        (["[0.2.0] - 2026-01-02", "[Unreleased]"], "VERSION"),
    ],
)
def test_a_wrong_changelog_is_seen(sections, fault):
    found = changelog_faults("".join(f"## {section}\n\n- x\n" for section in sections), "0.2.0")
    assert fault in found[0] if fault else not found


def test_the_links_show_checkers_the_real_folders():
    for link in LINKS:
        assert str(link.readlink()) == f"../../{link.name}"
        assert link.resolve() == ROOT / link.name
    for link in C_SOURCES:
        assert link.resolve() == ROOT / "bench" / link.name


def test_gateware_imports_neither_numpy_nor_cocotb_nor_boards():
    assert not offenders(
        modules(ROOT / "hdl"),
        "ohmgrid.hdl",
        {"numpy", "scipy", "numba", "cocotb", "cocotb_tools", "ohmgrid.boards", "ohmgrid.model"},
    )


def test_the_model_imports_neither_amaranth_nor_cocotb():
    assert not offenders(
        modules(ROOT / "model"),
        "ohmgrid.model",
        {"amaranth", "amaranth_boards", "cocotb", "cocotb_tools", "ohmgrid.hdl", "ohmgrid.boards"},
    )


def test_the_scan_sees_every_form_of_import(tmp_path):
    file = tmp_path / "sample.py"
    file.write_text(
        "import numpy.linalg as la\nfrom ..boards import pll\nfrom . import noise\n"
        "def f():\n    from cocotb.triggers import Timer\n"
    )
    assert imported(file, "ohmgrid.hdl") >= {
        *("numpy.linalg", "ohmgrid.boards", "ohmgrid.boards.pll", "ohmgrid.hdl.noise"),
        "cocotb.triggers",
    }
    assert offenders([file], "ohmgrid.hdl", {"numpy", "cocotb", "ohmgrid.boards"}) == {
        "sample.py": {
            *("numpy.linalg", "cocotb.triggers", "cocotb.triggers.Timer"),
            *("ohmgrid.boards", "ohmgrid.boards.pll"),
        }
    }


def test_every_gateware_file_has_a_golden_twin_and_a_test():
    """In the room of the same name."""
    missing = []
    for file in modules(ROOT / "hdl"):
        name = str(file.relative_to(ROOT / "hdl").with_suffix(""))
        if file.stem == "__init__":
            continue
        room, _, module = PARTS.get(name, name).partition("/")
        wanted = [ROOT / "tests" / room / f"test_{module}.py"]
        if name not in NO_TWIN:
            wanted.append(ROOT / "model" / room / f"{module}.py")
        missing += [f"{name}: {path.relative_to(ROOT)}" for path in wanted if not path.is_file()]
    assert not missing


@pytest.mark.parametrize("name", [*NO_TWIN, *PARTS])
def test_no_exception_is_for_a_file_that_is_not_there(name):
    assert (ROOT / "hdl" / f"{name}.py").is_file()


def test_no_file_is_too_long():
    long = [
        f"{file.relative_to(ROOT)}: {lines} lines"
        for file in PACKAGE_FILES
        + [file for folder in ("tests", "bench") for file in modules(ROOT / folder)]
        if (lines := len(file.read_text().splitlines())) > 450
    ]
    assert not long


def test_wheel_and_sdist_hold_the_packages_and_nothing_else(tmp_path):
    tree = tmp_path / "tree"
    skip = shutil.ignore_patterns("__pycache__")
    for name in ("src", *FOLDERS):
        shutil.copytree(ROOT / name, tree / name, symlinks=True, ignore=skip)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy2(ROOT / name, tree)
    for link in C_SOURCES:
        there = tree / link.resolve().relative_to(ROOT)
        there.parent.mkdir(exist_ok=True)
        shutil.copy2(link.resolve(), there)
    script = "import setuptools.build_meta as b; b.build_wheel('..'); b.build_sdist('..')"
    subprocess.run([sys.executable, "-c", script], cwd=tree, check=True, capture_output=True)

    harness = [file for suffix in ("cpp", "h") for file in (ROOT / "sim").rglob(f"*.{suffix}")]
    page = [*(ROOT / "src" / "ohmgrid" / "watch" / "page").iterdir()]
    suffixes = "toml", "json", "md"
    boards = [file for suffix in suffixes for file in (ROOT / "boards").rglob(f"*.{suffix}")]
    costs = [*(ROOT / "src" / "ohmgrid" / "studies").glob("*.toml")]
    data = harness + C_SOURCES + page + boards + costs
    wanted = {installed(file) for file in PACKAGE_FILES + data}
    wanted |= {"ohmgrid/py.typed"}
    stem = f"ohmgrid-{ohmgrid.__version__}"
    with zipfile.ZipFile(tmp_path / f"{stem}-py3-none-any.whl") as wheel:
        names = set(wheel.namelist())
        (entry_points,) = (name for name in names if name.endswith("entry_points.txt"))
        assert "ohmgrid = ohmgrid.cli:main" in wheel.read(entry_points).decode()
        for link in C_SOURCES:
            assert wheel.read(installed(link)) == link.read_bytes()
    assert {name for name in names if not name.startswith(f"{stem}.dist-info/")} == wanted
    assert f"{stem}.dist-info/licenses/LICENSE" in names

    with tarfile.open(tmp_path / f"{stem}.tar.gz") as sdist:
        sources = {name.removeprefix(f"{stem}/") for name in sdist.getnames()}
    homes = {str(file.relative_to(ROOT)) for file in PACKAGE_FILES + C_SOURCES}
    assert sources >= {"pyproject.toml", "LICENSE", "README.md", *homes}

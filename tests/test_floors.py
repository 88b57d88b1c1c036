"""The house: who may import whom, and who calls whom."""

import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import ohmgrid
from ohmgrid.config import BuildConfig, Config
from ohmgrid.engines import make_core
from ohmgrid.net import Net

ROOT = Path(__file__).parents[1]
PACKAGE = Path(ohmgrid.__file__).parent
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]

UPWARD = {
    ("tile", "model"): "make_tiles is given the class of an engine's tiles",
    ("model", "compiled"): "the golden core calls the tiles that it is given",
    ("model", "gateware"): "the golden core calls the tiles that it is given",
    ("host", "sim"): "the driver is given the way to the core that it drives",
    ("gateware", "sim"): "a core of gateware is made by whoever knows where it is",
}
"""Calls that run up, and why: each is made through what was handed down. A configuration on its way
into an engine makes none."""


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    """Check the imports of the package ``ohmgrid`` in a folder against the contracts."""
    script = (
        f"import sys; sys.path.insert(0, {str(folder)!r}); from importlinter import cli; "
        f"sys.exit(cli.lint_imports(config_filename={str(ROOT / 'pyproject.toml')!r}, "
        "cache_dir=None, is_debug_mode=False))"
    )
    command = [sys.executable, "-c", script]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def copied(tmp_path_factory):
    folder = tmp_path_factory.mktemp("house")
    skip = shutil.ignore_patterns("__pycache__")
    shutil.copytree(PACKAGE, folder / "ohmgrid", ignore=skip)
    return folder


def test_no_import_runs_up_and_there_is_no_circle(copied):
    done = lint(copied)
    files = len(list((copied / "ohmgrid").rglob("*.py")))
    assert f"Analyzed {files} files" in done.stdout, done.stdout + done.stderr
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("file", "line", "contract"),
    [
        ("devices/base.py", "from ohmgrid.registers import map", "rooms of the package"),
        ("hdl/base/noise.py", "from ohmgrid.hdl.array import lane", "rooms of gateware and model"),
        ("hdl/core/core.py", "import ohmgrid.model.core.tile", "rooms of the package"),
        ("new/__init__.py", '"""A room on no floor."""', "rooms of the package"),
        ("storage/files.py", "import ohmgrid.storage.published", "no circles"),
    ],
)
def test_an_import_that_runs_up_is_seen(copied, file, line, contract):
    path = copied / "ohmgrid" / file
    before = path.read_text() if path.exists() else None
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"{before or ''}\n{line}\n")
    done = lint(copied)
    if before is None:
        shutil.rmtree(path.parent)
    else:
        path.write_text(before)
    assert done.returncode == 1
    assert contract in done.stdout.partition("Broken contracts")[2]


def floors() -> dict[str, int]:
    """Return room -> floor, the cellar first."""
    layers = CONTRACTS["contracts"][0]["layers"]
    return {
        room.strip(): height
        for height, floor in enumerate(reversed(layers))
        for room in floor.split("|")
    }


def room(filename: str) -> str | None:
    """Return the room of a source file of the package."""
    place = Path(filename)
    for base in (PACKAGE, ROOT):
        if place.is_relative_to(base):
            return place.relative_to(base).parts[0].removesuffix(".py")
    return None


def calls(run: Callable[[], object]) -> set[tuple[str, str]]:
    """Return all (caller, callee) of two rooms of different height, the callee the higher one."""
    height, found = floors(), set()

    def watch(frame, event, argument):
        if event == "call" and frame.f_back is not None:
            pair = room(frame.f_back.f_code.co_filename), room(frame.f_code.co_filename)
            if height.get(pair[0] or "", 99) < height.get(pair[1] or "", -1):
                found.add(pair)

    sys.setprofile(watch)
    try:
        run()
    finally:
        sys.setprofile(None)
    return found


@pytest.mark.parametrize("engine", ["model", "compiled", "rtl"])
def test_no_call_runs_up_but_those_listed(engine):
    """From the configuration to a trained net."""
    net = Net((6, 5, 3))

    def run():
        config = Config(build=BuildConfig(lanes=4, share=2, words=64, inputs=16, outputs=16))
        core = make_core(engine, config, net)
        core.initialise()
        core.train(np.full((2, 6), 900), np.array([0, 2]), 0.1)
        core.state()
        core.close()

    run()  # what is built once is built before anybody watches
    found = calls(run)
    rooms = {"rtl": ("gateware", "sim")}.get(engine, (engine,))
    used = {pair for pair in UPWARD if pair[1] in rooms}
    assert found == used


def test_an_example_of_the_compiled_engine_stays_in_two_files():
    """Its core and the kernel that the core calls: nobody else holds the pixels."""
    core = make_core("compiled", Config(), Net((6, 5, 3)))
    core.initialise()
    core.prepare()
    pixels = np.full((2, 6), 900, np.int32)
    holders = set()

    def watch(frame, event, argument):
        if event == "call" and room(frame.f_code.co_filename):
            arrays = [value for value in frame.f_locals.values() if isinstance(value, np.ndarray)]
            if any(np.may_share_memory(pixels, array) for array in arrays):
                holders.add(Path(frame.f_code.co_filename).name)

    sys.setprofile(watch)
    try:
        core.train(pixels, np.array([0, 2]), 0.1)
    finally:
        sys.setprofile(None)
    assert holders == {"core.py"}

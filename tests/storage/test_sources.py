"""What is built is named after every file that can change a bit of it, and after no other."""

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import ohmgrid
from ohmgrid.storage.sources import fingerprint, imported, sources

ROOT = Path(ohmgrid.__file__).parent
COMPILED = ("ohmgrid.compiled",)
GATEWARE = ("ohmgrid.hdl", "ohmgrid.sim")


@pytest.fixture(scope="module")
def copied(tmp_path_factory):
    """The package as it is installed, to be changed."""
    folder = tmp_path_factory.mktemp("copied") / "ohmgrid"
    return Path(shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns("__pycache__")))


def by_syntax(text: str, package: str) -> set[str]:
    """Return what `imported` must find, from the syntax tree."""
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: 1 - node.level or None] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            found |= {base, *(f"{base}.{alias.name}" for alias in node.names)}
    return {name for name in found if name.partition(".")[0] == "ohmgrid"}


def test_every_import_of_every_file_is_found():
    files = [
        file
        for name in ("", "hdl", "model", "sim", "boards")
        for file in (ROOT / name).rglob("*.py")
    ]
    assert len(files) > 100
    for file in files:
        text = file.read_text()
        package = ".".join(("ohmgrid", *file.relative_to(ROOT).parts[:-1]))
        assert set(imported(text, package)) >= by_syntax(text, package), file


def test_every_form_of_import_is_found():
    text = (
        "import numpy, ohmgrid.config as c, ohmgrid.tile\n"
        "from . import (\n    noise,  # with a comment (and more)\n    array as a,\n)\n"
        "from ..pulses import make\n"
        "def f():\n    from .compiled.jit import kernel\n"
        "from ohmgrid import registers\n"
        "from json import loads\n"
    )
    package = "ohmgrid.model"
    assert set(imported(text, package)) == by_syntax(text, package)


@pytest.mark.parametrize(
    ("packages", "changed"),
    [
        (COMPILED, "compiled/arith.py"),
        (COMPILED, "compiled/__init__.py"),
        (COMPILED, "model/__init__.py"),
        (COMPILED, "__init__.py"),
        (COMPILED, "compiled/deeper/still/new.py"),
        (COMPILED, "compiled/new.cpp"),
        (COMPILED, "registers/noise.py"),
        (COMPILED, "registers/device.py"),
        (COMPILED, "model/base/noise.py"),
        (GATEWARE, "hdl/core/core.py"),
        (GATEWARE, "hdl/deeper/new.py"),
        (GATEWARE, "sim/cxxrtl/harness.cpp"),
        (GATEWARE, "sim/new.h"),
        (GATEWARE, "tools/toolchain.py"),
        (GATEWARE, "registers/noise.py"),
    ],
)
def test_a_file_that_can_change_bits_changes_the_name(copied, packages, changed):
    before = fingerprint(*packages, root=copied)
    file = copied / changed
    old = file.read_bytes() if file.exists() else None
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes((old or b"") + b"\n")
    assert fingerprint(*packages, root=copied) != before
    file.unlink() if old is None else file.write_bytes(old)
    assert fingerprint(*packages, root=copied) == before


def test_a_module_that_comes_to_be_imported_changes_the_name(copied):
    """A new sub-package that no list names, reached through another new module."""
    file, new = copied / "registers" / "powers.py", copied / "rooms" / "law.py"
    old = file.read_text()
    file.write_text(old + "\ndef late():\n    from ohmgrid.rooms import law\n")
    new.parent.mkdir()
    new.write_text("")
    (new.parent / "__init__.py").write_text("")
    for packages in (COMPILED, GATEWARE):
        assert {new, new.parent / "__init__.py"} <= set(sources(*packages, root=copied))
    file.write_text(old)
    shutil.rmtree(new.parent)


@pytest.mark.parametrize("packages", [COMPILED, GATEWARE])
@pytest.mark.parametrize(
    "changed", ["commands/train.py", "cli.py", "plots/training.py", "training/session.py"]
)
def test_a_file_that_can_change_none_does_not(copied, packages, changed):
    assert copied / changed not in sources(*packages, root=copied)


ENGINES = {
    COMPILED: """
        from ohmgrid.net import Net
        from ohmgrid.compiled.core import CompiledCore
        from ohmgrid.config import Config
        import ohmgrid.compiled as package
        CompiledCore(Config(), Net((3, 3)))
    """,
    GATEWARE: """
        from ohmgrid.config import BuildConfig, Config
        from ohmgrid.sim.cxxrtl import library
        from ohmgrid.hdl.core.core import Core
        import ohmgrid.hdl as package
        config = Config(build=BuildConfig(lanes=2, share=1, words=8, inputs=4, outputs=4))
        assert library.recipe(lambda: Core(config), "core")._rtlil
    """,
}


@pytest.mark.parametrize("packages", ENGINES)
def test_what_an_engine_has_loaded_is_in_its_name(packages):
    """Also what is imported in a way that no reading of the sources could find."""
    lines = [line.strip() for line in ENGINES[packages].strip().splitlines()]
    lines += [
        "import importlib, pkgutil, sys, warnings",
        "for module in pkgutil.walk_packages(package.__path__, package.__name__ + '.'):",
        "    importlib.import_module(module.name)",
        "print(*(m for m in sys.modules if m.partition('.')[0] == 'ohmgrid'))",
    ]
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    loaded = done.stdout.split()
    assert len(loaded) > 30
    named = set(sources(*packages))
    for module in loaded:
        place = ROOT.joinpath(*module.split(".")[1:])
        assert {place.with_suffix(".py"), place / "__init__.py"} & named, module

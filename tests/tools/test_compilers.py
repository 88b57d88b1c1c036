"""Compilers are found, and their absence or failure is one clear error."""

import shutil
import sys

import pytest

from ohmgrid.tools.compilers import CompilerMissing, find_compiler
from ohmgrid.tools.toolchain import ToolFailed


@pytest.mark.parametrize(("language", "variable"), [("C", "CC"), ("C++", "CXX")])
def test_the_variable_decides_then_the_usual_names(monkeypatch, language, variable):
    monkeypatch.delenv(variable, raising=False)
    usual = find_compiler(language)
    assert shutil.which(usual.command)
    assert usual.version
    monkeypatch.setenv(variable, " ")
    assert find_compiler(language) == usual
    monkeypatch.setenv(variable, f"{usual.command} -O1")
    assert find_compiler(language).command == f"{usual.command} -O1"


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ("no-such-compiler", "CC=no-such-compiler: no such program: apt-get install gcc"),
        ("cc 'half", "CC=cc 'half: No closing quotation"),
    ],
)
def test_a_variable_that_names_none(monkeypatch, given, line):
    monkeypatch.setenv("CC", given)
    with pytest.raises(CompilerMissing) as caught:
        find_compiler("C")
    assert str(caught.value) == line


@pytest.mark.parametrize(("language", "package"), [("C", "gcc"), ("C++", r"g\+\+")])
def test_none_at_all_names_the_package(monkeypatch, tmp_path, language, package):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(CompilerMissing, match=f"compiler was found: apt-get install {package}$"):
        find_compiler(language)


def test_a_failure_shows_the_last_lines(monkeypatch, tmp_path):
    script = tmp_path / "compiler.py"
    script.write_text(
        "import sys\nif '--version' in sys.argv: sys.exit(print('compiler 1.0'))\n"
        "sys.stderr.buffer.write(b'no \\xff\\n')\nsys.exit('bad flag')\n"
    )
    monkeypatch.setenv("CC", f"{sys.executable} {script}")
    compiler = find_compiler("C")
    assert compiler.version == "compiler 1.0"
    with pytest.raises(ToolFailed, match=r"failed \(status 1\):\n  no .\n  bad flag$"):
        compiler.run(["-c", "x.c"], tmp_path)

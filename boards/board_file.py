"""A board as data: ``boards/NAME.toml`` says what one is and what is built for it unasked.

Pins are those of amaranth-boards; a file names the platform and what of it is used. Whoever has a
board of a kind that is not here writes such a file and gives its path instead of a name.
"""

from dataclasses import dataclass, field, fields
from importlib import import_module
from pathlib import Path
from typing import Any

from ohmgrid.doors.checks import ConfigError, check_choice, check_float, check_int, make_plain
from ohmgrid.doors.schema import check_table, given_values, parse_toml, read_text
from ohmgrid.training.settings import Settings, load_settings

__all__ = ["FAMILIES", "Board", "Link", "Loader", "board_names", "load_board"]

FOLDER = Path(__file__).parent
FAMILIES = {
    "ecp5": "Lattice ECP5",
    "gowin": "Gowin GW2A",
    "xilinx": "Xilinx 7-series and UltraScale",
}
"""Families of parts: each has a flow of its own (`ohmgrid.boards.flows`)."""
LOADERS = ("openFPGALoader", "dfu-util")


@dataclass(frozen=True)
class Link:
    """Two wires to a host, and the rate on them."""

    resource: str = ""
    """UART of the platform, ``uart``; or nothing, and pins."""
    rx: str = ""
    """Pin that receives: of the package, or of the connector."""
    tx: str = ""
    """Pin that sends."""
    connector: tuple[str, int] | None = None
    """Connector of the platform that the pins are of, ``["io", 0]``."""
    attributes: dict[str, str] = field(default_factory=dict)
    """Of the pins: ``{IO_TYPE = "LVCMOS33"}``."""
    where: str = ""
    """What a user connects there, in words."""
    baud: int = 3_000_000

    def __post_init__(self) -> None:
        make_plain(self)
        check_int("baud", self.baud, 9600, 20_000_000)
        if bool(self.resource) == bool(self.rx and self.tx):
            raise ConfigError("resource", "expected one of the platform, or the pins rx and tx")


@dataclass(frozen=True)
class Loader:
    """How a bitstream gets onto the board."""

    program: str = "openFPGALoader"
    board: str = ""
    """What that program calls the board; for dfu-util USB's ``VENDOR:PRODUCT``."""
    cable: str = ""
    """What openFPGALoader calls the programmer of a board that it has no name for."""

    def __post_init__(self) -> None:
        make_plain(self)
        check_choice("program", self.program, LOADERS)
        if bool(self.board) == bool(self.cable):
            raise ConfigError("board", f"expected what {self.program} calls the board, or a cable")


TABLES: dict[str, type] = {"link": Link, "load": Loader}


@dataclass(frozen=True)
class _Head:
    """Keys of a file outside any table."""

    title: str = ""
    platform: str = ""
    family: str = ""
    part: str = ""
    settings: str = ""
    clock_mhz: float = 0.0
    memory: str = ""
    leds: tuple[str, ...] = ()


@dataclass(frozen=True)
class Board:
    """A board, and the gateware that is built for it where nothing else is said."""

    name: str
    title: str
    """As its maker calls it."""
    platform: str
    """Class of amaranth-boards: ``ulx3s:ULX3S_85F_Platform``."""
    family: str
    """Of `FAMILIES`."""
    part: str
    """The FPGA: ``LFE5U-85F``."""
    settings: Path
    """What is built: ``[build]``, ``[formats]``, and the net that it is for."""
    clock_mhz: float
    """Clock of the gateware."""
    link: Link
    load: Loader
    memory: str = ""
    """Memory beside the FPGA, in words."""
    leds: tuple[str, ...] = ()
    """Up to three: alive, busy, errors on the line; ``led:0`` or ``rgb_led:0.r``."""

    def __post_init__(self) -> None:
        make_plain(self)
        check_choice("family", self.family, tuple(FAMILIES))
        check_float("clock_mhz", self.clock_mhz, 1.0, 500.0)
        if len(self.leds) > 3:
            raise ConfigError("leds", f"expected at most 3, got {len(self.leds)}")
        for name in ("title", "part"):
            if not getattr(self, name):
                raise ConfigError(name, "expected a text, got nothing")

    def make_platform(self) -> Any:
        """Return a new platform of amaranth-boards; one serves for one build.

        Raises
        ------
        ConfigError
            amaranth-boards has no such class.
        """
        module, _, cls = self.platform.partition(":")
        try:
            return getattr(import_module(f"amaranth_boards.{module}"), cls)()
        except (ImportError, AttributeError):
            raise ConfigError(
                "platform",
                "expected MODULE:CLASS of amaranth-boards, as in ulx3s:ULX3S_85F_Platform, got "
                f"{self.platform!r}",
            ) from None

    def load_settings(self) -> Settings:
        """Return what is built for the board unasked."""
        return load_settings(self.settings)


def board_names() -> list[str]:
    """Return the names of the boards that come with ohmgrid."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def load_board(name: str) -> Board:
    """Return a board by its name, or by the path of a file.

    Raises
    ------
    ConfigError
        There is no such board, or its file is not right; the message begins with the file.
    """
    path = Path(name) if name.endswith(".toml") else FOLDER / f"{name}.toml"
    if not path.exists():
        raise ConfigError(
            "board", f"expected one of {', '.join(board_names())}, or FILE.toml, got {name!r}"
        )
    try:
        return _parse(path)
    except ConfigError as error:
        raise error.at(path.name) from None


def _parse(path: Path) -> Board:
    data = parse_toml(read_text(path))
    head = given_values("", {k: v for k, v in data.items() if k not in TABLES}, _Head)
    tables: dict[str, Any] = {}
    for key, kind in TABLES.items():
        values = given_values(key, check_table(key, data.get(key, {})), kind)
        try:
            tables[key] = kind(**values)
        except ConfigError as error:
            raise error.of(key) from None
    for one in fields(_Head):
        if one.name not in head and one.name not in ("memory", "leds"):
            raise ConfigError(one.name, "expected in the file of a board, got nothing")
    name = head.pop("settings")
    # A name is one of the files that come with ohmgrid, a path is beside the board's file.
    beside = path.parent / name if name.endswith(".toml") else FOLDER / "settings" / f"{name}.toml"
    return Board(name=path.stem, settings=beside, **head, **tables)

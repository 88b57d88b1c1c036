"""What a board says it is: versions, clock, and the build and formats of its gateware."""

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from typing import Any

import msgspec

from ohmgrid import __version__
from ohmgrid.config import BuildConfig, Config, FormatConfig
from ohmgrid.doors.checks import ConfigError, OhmgridError
from ohmgrid.host.frames import IDENTITY_HEAD, PROTOCOL, Identity

__all__ = ["BoardError", "BoardIdentity", "gateware_digest", "make_identity", "parse_identity"]

LOADED = ("x_frac", "d_frac")
"""Formats that are loaded at run time: no gateware is of one of them."""


class BoardError(OhmgridError, ValueError):
    """A board that cannot do what is asked of it, or a line that does not lead to one."""


class _Description(msgspec.Struct, forbid_unknown_fields=True):
    """What differs from what this version of the program builds unasked."""

    ohmgrid: str
    formats: dict[str, Any] = {}
    build: dict[str, Any] = {}


@dataclass(frozen=True)
class BoardIdentity:
    """What a board is."""

    program: str
    """Version of ohmgrid that built it."""
    formats: FormatConfig
    """Those that are loaded at run time as small as can be."""
    build: BuildConfig
    clock_hz: int
    """0 if it has no clock of its own, as a simulated one."""

    @property
    def digest(self) -> bytes:
        """As of `gateware_digest`."""
        return gateware_digest(self.formats, self.build)


def _kept(formats: FormatConfig) -> dict[str, Any]:
    return {name: value for name, value in asdict(formats).items() if name not in LOADED}


def gateware_digest(formats: FormatConfig, build: BuildConfig) -> bytes:
    """Return 8 bytes of SHA-256 of all that gateware is built for."""
    text = json.dumps({"formats": _kept(formats), "build": asdict(build)}, sort_keys=True)
    return hashlib.sha256(text.encode()).digest()[:8]


def make_identity(config: Config, clock_hz: int = 0) -> bytes:
    """Return the bytes that gateware says of itself.

    Parameters
    ----------
    config : Config
        Formats and build.
    clock_hz : int
        Of the board.
    """
    formats, build = config.formats, config.build
    usual = _kept(FormatConfig()) | asdict(BuildConfig())
    description = {
        "ohmgrid": __version__,
        "formats": {k: v for k, v in _kept(formats).items() if v != usual[k]},
        "build": {k: v for k, v in asdict(build).items() if v != usual[k]},
    }
    text = json.dumps(description, separators=(",", ":")).encode()
    head = Identity(
        PROTOCOL,
        IDENTITY_HEAD + len(text),
        gateware_digest(formats, build),
        clock_hz,
        build.lanes,
        build.words,
        build.link,
    )
    return head.pack() + text


def parse_identity(data: bytes) -> BoardIdentity:
    """Return what a board is.

    Raises
    ------
    BoardError
        If it is of another protocol, or was built by a version of the program whose builds this
        one does not know.
    """
    if not data or data[0] != PROTOCOL:
        version = data[0] if data else "none"
        raise BoardError(
            f"board: expected protocol {PROTOCOL}, got {version}; build it with this version of "
            "ohmgrid, or use the version that built it"
        )
    if len(data) < IDENTITY_HEAD:
        raise BoardError(f"board: expected at least {IDENTITY_HEAD} bytes of it, got {len(data)}")
    head = Identity.unpack(data[:IDENTITY_HEAD])
    try:
        said = msgspec.json.decode(data[IDENTITY_HEAD:], type=_Description)
    except msgspec.MsgspecError as error:
        raise BoardError(f"board: expected a description of its gateware, got {error}") from None
    try:
        identity = BoardIdentity(
            said.ohmgrid,
            FormatConfig(**_known(FormatConfig, said.formats)),
            BuildConfig(**_known(BuildConfig, said.build)),
            head.clock_hz,
        )
    except ConfigError as error:
        raise BoardError(f"board: built by ohmgrid {said.ohmgrid}: {error}") from None
    if identity.digest != head.digest:
        raise BoardError(
            f"board: built by ohmgrid {said.ohmgrid} for what ohmgrid {__version__} does not "
            "know; build it anew"
        )
    return identity


def _known(kind: type, values: dict[str, Any]) -> dict[str, Any]:
    names = {field.name for field in fields(kind)}
    for name in values:
        if name not in names:
            raise ConfigError(name, "expected an option that this version knows")
    return values

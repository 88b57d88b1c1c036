"""Ports that boards hang on: opened, read and written, with one line for whatever goes wrong."""

import errno
import getpass
import re
from contextlib import suppress
from typing import Protocol

import serial
from serial.tools import list_ports

from ohmgrid.doors.checks import ConfigError, shown
from ohmgrid.host.identity import BoardError

__all__ = ["BAUD", "Port", "PortLost", "SerialPort", "is_port", "open_port", "split_port"]

BAUD = 3_000_000
"""Bits a second of a board's UART, unless it was built for others."""
WRITE_S = 2.0
"""Seconds after which a port that takes nothing is taken for gone."""


class PortLost(Exception):
    """The port has gone, or nobody is behind it any more."""


class Port(Protocol):
    """A line to a board."""

    name: str

    def open(self) -> None:
        """Open it; raise `BoardError` where that cannot be, in a line that says what to do."""
        ...

    def read(self, seconds: float) -> bytes:
        """Return what has come, waiting so long for a first byte; raise `PortLost`."""
        ...

    def write(self, data: bytes) -> None:
        """Write all; raise `PortLost`."""
        ...

    def close(self) -> None:
        """Close it; it can be opened again."""
        ...


class SerialPort:
    """A serial port, or what behaves as one.

    Parameters
    ----------
    name : str
        As the operating system has it: ``/dev/ttyUSB0``, ``COM3``.
    baud : int
        Bits a second.
    """

    def __init__(self, name: str, baud: int = BAUD) -> None:
        self.name, self.baud = name, baud
        self._serial: serial.Serial | None = None

    def open(self) -> None:
        """Open the port; raise `BoardError` where that cannot be."""
        self.close()
        try:
            port = serial.Serial(
                self.name, self.baud, timeout=0, write_timeout=WRITE_S, exclusive=True
            )
        except (OSError, ValueError) as error:
            raise BoardError(f"{self.name}: {self._why(error)}") from None
        # An FTDI chip keeps what is little for 16 ms otherwise; not every port knows of it.
        with suppress(AttributeError, NotImplementedError, OSError, ValueError):
            port.set_low_latency_mode(True)
        self._serial = port

    def _why(self, error: Exception) -> str:
        """Say what to do about a port that does not open."""
        number = getattr(error, "errno", None)
        text = str(error)
        if number == errno.EACCES or "Permission" in text:
            return (
                "no permission to use it; join its group, then log in again: "
                f"sudo usermod -aG dialout {getpass.getuser()}"
            )
        if number in (errno.EBUSY, errno.EAGAIN) or "lock" in text:
            return "busy: another program uses it; close that one first"
        if number == errno.ENOENT or "FileNotFound" in text:
            there = ", ".join(port.device for port in list_ports.comports())
            return f"no such port; there are: {there or 'none (is the board plugged in?)'}"
        if isinstance(error, ValueError):
            return f"expected a rate that the port has, got {self.baud} baud"
        return f"expected a serial port, got an error: {text}"

    def read(self, seconds: float) -> bytes:
        """Return what has come, waiting so long for a first byte."""
        port = self._open()
        try:
            waiting = port.in_waiting
            if not waiting:
                port.timeout = seconds
            data = port.read(waiting or 1)
            return data if waiting else data + port.read(port.in_waiting)
        except (OSError, TypeError) as error:
            raise PortLost(str(error)) from None

    def write(self, data: bytes) -> None:
        """Write all."""
        port = self._open()
        try:
            port.write(data)
        except OSError as error:
            raise PortLost(str(error)) from None

    def close(self) -> None:
        """Close the port."""
        if self._serial is not None:
            with suppress(OSError):
                self._serial.close()
            self._serial = None

    def _open(self) -> serial.Serial:
        if self._serial is None:
            raise PortLost("the port is closed")
        return self._serial


def is_port(name: str) -> bool:
    """Return whether a name is that of a port: a whole path (``/dev/ttyUSB0``), or ``COM3``."""
    return name.startswith("/") or re.fullmatch(r"COM\d+(@.*)?", name, re.IGNORECASE) is not None


def split_port(name: str) -> tuple[str, str]:
    """Return port and rate of ``PORT@BAUD``; the rate of ``PORT`` is empty."""
    port, _, rate = name.partition("@")
    return port, rate


def open_port(name: str) -> SerialPort:
    """Return the port of ``PORT`` or ``PORT@BAUD``, not yet open.

    Raises
    ------
    ConfigError
        If the rate is no number of bits a second.
    """
    port, rate = split_port(name)
    if port == name:
        return SerialPort(port)
    if not re.fullmatch(r"[0-9]{2,8}", rate):
        raise ConfigError("engine", f"expected PORT@BAUD with bits a second, got {shown(name)}")
    return SerialPort(port, int(rate))

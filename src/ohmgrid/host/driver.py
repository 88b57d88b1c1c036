"""Commands of a core over anything that brings them there, with the words that they take."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from ohmgrid.host.protocol import (
    SET_BIT,
    SILENT,
    WORD_PLACE,
    Answer,
    Error,
    Op,
    command,
    table_command,
)
from ohmgrid.host.registers import aging_tables, device_tables, device_values
from ohmgrid.registers.arrays import entry_words
from ohmgrid.registers.device import DeviceRegisters
from ohmgrid.registers.map import CORE, DEVICE, OF_KIND
from ohmgrid.registers.time import AgingRegisters

__all__ = ["CoreDriver", "Examples", "Item", "Transport", "awaited", "command_words"]


class Examples(NamedTuple):
    """Examples that a run takes, in the form in which an engine gets them."""

    labels: np.ndarray
    """Integers, shape (examples,)."""
    pixels: np.ndarray
    """Integers, shape (examples, inputs)."""

    def words(self) -> np.ndarray:
        """Return the words of the core's stream: the label of each before its inputs."""
        return np.column_stack([self.labels, self.pixels]).ravel()


Item = int | np.ndarray | Examples
"""A command, or words or examples for commands before it."""


class Transport(Protocol):
    """A way to a core."""

    def transact(
        self, items: Sequence[Item], results: int, answers: int
    ) -> tuple[np.ndarray, np.ndarray, int]:
        """Bring commands and words to the core, and back what it sends.

        Parameters
        ----------
        items : sequence of Item
            In the order in which the core takes them: words behind the command that takes them.
        results, answers : int
            Words to wait for.

        Returns
        -------
        results : int64
        answers : uint64
        cycles : int
            Clock cycles that it took, 0 where nobody knows.
        """
        ...


def awaited(items: Sequence[Item]) -> int:
    """Return how many answers commands give."""
    return sum(isinstance(item, int) and (item & 255) not in SILENT for item in items)


class CoreDriver:
    """Commands of a core.

    Parameters
    ----------
    way : Transport
    """

    def __init__(self, way: Transport) -> None:
        self.way = way
        self.cycles = 0
        """Clock cycles of the last command."""

    @staticmethod
    def registers(values: Mapping[str, int], kind: int = 0) -> list[int]:
        """Return the commands that write registers of the core; those of the second ``kind`` of
        arrays are `OF_KIND` alone.

        Raises
        ------
        ValueError
            If a value does not fit its register.
        """
        for name, value in values.items():
            if not 0 <= value < 1 << CORE[name].bits:
                raise ValueError(f"register {name}: expected {CORE[name].bits} bits, got {value}")
        return [
            command(Op.SET, CORE[name].number, value | kind << SET_BIT)
            for name, value in values.items()
            if not kind or name in OF_KIND
        ]

    @staticmethod
    def entry(
        array: int, values: Mapping[str, int], read_physics: bool, first_word: int = 0
    ) -> list[int]:
        """Return the commands that write the entry of an array, from one of its words on.

        Raises
        ------
        ValueError
            If a value does not fit its field.
        """
        words = entry_words(values, read_physics)
        return [
            command(Op.ENTRY, array, number << WORD_PLACE | word)
            for number, word in enumerate(words)
            if number >= first_word
        ]

    @staticmethod
    def device(
        registers: DeviceRegisters,
        weight_bits: int,
        aging: AgingRegisters | None = None,
        device_set: int = 0,
    ) -> list[int]:
        """Return the commands that write a device's registers and its tables.

        Those of ``aging`` too, if it is given: a device that changes with time needs them.
        """
        commands = [
            command(Op.SET, DEVICE[name].number, value & 0xFFFFFFFF | device_set << SET_BIT)
            for name, value in device_values(registers).items()
        ]
        tables = [*device_tables(registers, weight_bits)]
        if aging is not None:
            tables += aging_tables(aging, registers, weight_bits)
        return commands + [table_command(*write, device_set) for write in tables]

    def counters(self, rows: Sequence[tuple[int, int]]) -> list[int]:
        """Return counters of a core, by row and field (`ohmgrid.registers.meters`)."""
        commands = [command(Op.COUNTER, row, field) for row, field in rows]
        _, words, _ = self.way.transact(commands, 0, len(commands))
        return [int(word) >> 8 for word in words]

    def run(
        self, items: Sequence[Item], results: int = 0, more: int = 0
    ) -> tuple[np.ndarray, list[Answer]]:
        """Send commands with the words that they take; return results and decoded answers.

        Parameters
        ----------
        items : sequence of Item
        results : int
            Words that the commands send.
        more : int
            Answers beside those of the commands: of the examples of a run.

        Raises
        ------
        RuntimeError
            If an answer has an error bit.
        """
        came, words, self.cycles = self.way.transact(items, results, awaited(items) + more)
        decoded = [Answer.decode(int(word)) for word in words]
        for answer in decoded:
            if answer.error:
                names = [e.name for e in Error if answer.error & e]
                raise RuntimeError(f"core: op {answer.op} reported {', '.join(map(str, names))}")
        return came, decoded


def command_words(commands: Sequence[int]) -> np.ndarray:
    """Return commands as a stream of words: uint64, shape (commands, 2), low bits first."""
    columns = [(word & (2**64 - 1), word >> 64) for word in commands]
    return np.array(columns, np.uint64).reshape(-1, 2)

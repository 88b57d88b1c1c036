"""Commands of a core over anything that moves words through its four streams."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ohmgrid.host.protocol import (
    OUT_BITS,
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
from ohmgrid.registers.map import CORE, DEVICE
from ohmgrid.registers.time import AgingRegisters

__all__ = ["CoreDriver", "command_words"]

TIMEOUT = 50_000_000
"""Cycles after which a command that has not answered is taken for dead."""


class CoreDriver:
    """Commands of a core over anything that moves words through its four streams.

    Parameters
    ----------
    link : object
        Has ``transact(inputs, outputs, max_cycles) -> (words, cycles)``, as an instance of
        `ohmgrid.sim.cxxrtl`.
    """

    def __init__(self, link: Any) -> None:
        self.link = link
        self.cycles = 0
        """Clock cycles of the last command."""

    def registers(self, values: Mapping[str, int]) -> list[int]:
        """Return the commands that write registers of the core.

        Raises
        ------
        ValueError
            If a value does not fit its register.
        """
        for name, value in values.items():
            if not 0 <= value < 1 << CORE[name].bits:
                raise ValueError(f"register {name}: expected {CORE[name].bits} bits, got {value}")
        return [command(Op.SET, CORE[name].number, value) for name, value in values.items()]

    def entry(
        self, array: int, values: Mapping[str, int], read_physics: bool, first_word: int = 0
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

    def device(
        self,
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
        words, _ = self.link.transact(
            {"cmd": command_words(commands)},
            {"r": len(commands)},
            max_cycles=TIMEOUT,
        )
        return [int(word) >> 8 for word in words["r"]]

    def run(
        self, commands: list[int], vector=(), results: int = 0, more: int = 0
    ) -> tuple[np.ndarray, list]:
        """Send commands with the words that they take; return results and decoded answers.

        Parameters
        ----------
        commands : list of int
        vector : integers
            Words for the input stream.
        results : int
            Words that the commands send.
        more : int
            Answers beside those of the commands: of the examples of a run.

        Raises
        ------
        RuntimeError
            If an answer has an error bit.
        """
        answers = more + sum((c & 255) not in SILENT for c in commands)
        words, self.cycles = self.link.transact(
            {"cmd": command_words(commands), "i": np.asarray(vector, np.int64)},
            {"o": results, "r": answers},
            max_cycles=TIMEOUT,
        )
        decoded = [Answer.decode(int(word)) for word in words["r"]]
        for answer in decoded:
            if answer.error:
                names = [e.name for e in Error if answer.error & e]
                raise RuntimeError(f"core: op {answer.op} reported {', '.join(map(str, names))}")
        spare = 64 - OUT_BITS
        return (words["o"].view(np.int64) << spare) >> spare, decoded


def command_words(commands: Sequence[int]) -> np.ndarray:
    """Return commands as a link takes them: uint64, shape (commands, 2), low bits first."""
    columns = [(word & (2**64 - 1), word >> 64) for word in commands]
    return np.array(columns, np.uint64).reshape(-1, 2)

"""Waveforms: which registers a library shows, and the head of the VCD file that it writes.

Registers and ports are all that holds a value from one cycle to the next; what lies between them is
computed by expressions that have no place of their own in a fast library.
"""

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

__all__ = ["Wave", "head", "registers_in"]

_CLASS = re.compile(r"(?ms)^struct (p_\w+) : public module \{\n(.*?)^\}; // struct \1\n")
_REGISTER = re.compile(r"(?m)^\t(?:/\*output\*/ )?wire<(\d+)> (p_\w+);$")
_CELL = re.compile(r"(?m)^\t(p_\w+) (cell_p_\w+)(?: \{interior\(\)\})?;$")
_ESCAPE = re.compile(r"_([0-9a-f]{2})_|__")


class Wave(NamedTuple):
    """A value of a waveform."""

    member: str
    """In C++, of the design's class."""
    name: str
    """Path of submodules, with dots."""
    width: int


def registers_in(cpp: str) -> list[Wave]:
    """Return all registers of a design that CXXRTL has written, those of shared parts too."""
    classes = dict(_CLASS.findall(cpp))

    def of(name: str, member: str, path: str) -> Iterable[Wave]:
        body = classes.get(name, "")
        for width, register in _REGISTER.findall(body):
            yield Wave(member + register, path + _plain(register), int(width))
        for kind, cell in _CELL.findall(body):
            yield from of(kind, f"{member}{cell}.", f"{path}{_plain(cell[5:])}.")

    return list(of("p_top", "", ""))


def _plain(member: str) -> str:
    """Return the name that CXXRTL has made a member's of."""
    return _ESCAPE.sub(lambda m: chr(int(m[1], 16)) if m[1] else "_", member.removeprefix("p_"))


def head(waves: Sequence[tuple[str, int]]) -> str:
    """Return the head of a VCD file; values have their numbers, hexadecimal, as identifiers.

    Parameters
    ----------
    waves : sequence of (name, width)
        The clock comes before them, as number 0.
    """
    lines = ["$timescale 1 ns $end"]
    scope: list[str] = []
    named = [("clk", 1), *waves]
    paths = [
        (["top", *name.split(".")], f"{at:x}", width) for at, (name, width) in enumerate(named)
    ]
    for path, identifier, width in sorted(paths, key=lambda each: each[0][:-1]):
        *place, leaf = path
        common = 0
        while common < min(len(scope), len(place)) and scope[common] == place[common]:
            common += 1
        lines += ["$upscope $end"] * (len(scope) - common)
        lines += [f"$scope module {part} $end" for part in place[common:]]
        scope = place
        lines.append(f"$var wire {width} {identifier} {leaf.replace(' ', '_')} $end")
    return "\n".join([*lines, *["$upscope $end"] * len(scope), "$enddefinitions $end\n"])

"""When a multiplication's codes, sweeps and results come, from when its operation key is there."""

from typing import NamedTuple

import numpy as np

from ohmgrid.config import Config
from ohmgrid.hdl.array.sweep import AHEAD, COUNTED, FILL
from ohmgrid.model.array.sweep import SweepCycles, sweep_cycles
from ohmgrid.periphery import W_NOISE_TYPES
from ohmgrid.registers.layout import Place
from ohmgrid.registers.readout import Part, parts, read_registers
from ohmgrid.studies.facts import Multiplied
from ohmgrid.studies.latencies import Latencies

__all__ = ["Multiplication", "Times", "sweep"]


class Times(NamedTuple):
    """Of one operation."""

    result: int
    """Cycle in which its last result leaves."""
    coding: tuple[tuple[int, int], ...]
    """Passes of codes: the cycle of the first line's turn, and how many lines have one."""


def sweep(
    config: Config,
    place: Place,
    serial: int,
    chain: bool = False,
    bare: bool = False,
    hits: np.ndarray | None = None,
) -> SweepCycles:
    """Return how long a sweep of an array takes; arguments as of `sweep_cycles`."""
    return sweep_cycles(
        serial,
        place.lane_lines,
        config.build,
        place.seen if hits is None else place.devices,
        place.turned,
        chain,
        bare,
        hits,
    )


class Multiplication:
    """How one array multiplies.

    Parameters
    ----------
    latencies : Latencies
    place : Place
    """

    def __init__(self, latencies: Latencies, place: Place) -> None:
        self._latencies, self._place = latencies, place
        config = self._config = latencies.config
        self._registers = {
            backward: read_registers(
                io, latencies.device.lsb, place.rows if backward else place.cols
            )
            for backward, io in ((False, config.forward), (True, config.backward))
        }
        last = place.lane_lines % config.build.lanes or config.build.lanes
        self._last_block = min(last, place.lane_lines)

    def times(self, facts: Multiplied, backward: bool, now: int) -> Times:
        """Return when results come, if the operation's key is there ``now``."""
        latencies, place = self._latencies, self._place
        io = self._config.backward if backward else self._config.forward
        lines = place.cols if backward else place.rows
        if not facts.passes:
            return Times(now + latencies.send_all(lines), ())
        coding: list[tuple[int, int]] = []
        counted = now
        for number, listed in enumerate(facts.passes):
            if number:
                now += 1 + latencies.fixed.repeat
            if io.physics:
                now = counted = self._read_pass(facts.coded, listed, backward, now, coding)
            else:
                now = counted = self._pass(facts.coded, listed[0], backward, now, coding)
        return Times(counted + latencies.send, tuple(coding))

    def _pass(
        self, coded: int, listed: int, backward: bool, now: int, coding: list[tuple[int, int]]
    ) -> int:
        """Return when all codes are there of a pass whose list of codes is followed as it grows."""
        latencies, fixed = self._latencies, self._latencies.fixed
        coding.append((now + 1 + fixed.begins, coded))
        begin = now + fixed.begins + latencies.lines.cycles(1) + fixed.first_code
        chain = backward != self._place.turned
        last = self._sweep(chain, listed).last
        if chain:
            # The first block ends when it is known that no line follows: until then a few lines
            # are kept back, and before the first of its visits some steps come unasked.
            visits = self._place.seen
            steps = max(1, listed) * visits + FILL
            early = (listed - AHEAD) * visits + 1 if listed > AHEAD else 0
            ends = coded + COUNTED + steps - early
            one = self._sweep(chain, listed, one_block=True).last
            # Where no lane line is loaded, the first visit waits for the list.
            last += max(0 if latencies.device.visible else AHEAD, ends - one)
        return self._last_sum(begin + last, chain) + latencies.outputs

    def _read_pass(
        self,
        coded: int,
        listed: tuple[int, ...],
        backward: bool,
        now: int,
        coding: list[tuple[int, int]],
    ) -> int:
        """Return when all codes are there of a pass with the physics of reads: sweeps one after
        the other, each with codes of its own."""
        latencies, registers = self._latencies, self._registers[backward]
        lines = self._place.cols if backward else self._place.rows
        chain = backward != self._place.turned
        found = parts(registers)
        additive = W_NOISE_TYPES[registers.w_kind] == "additive-constant"
        if additive:
            # Powers without weights take codes and no sweep.
            found, listed = (*found[:-1], Part.POWER, found[-1]), (*listed[:-1], 0, listed[-1])
        for part, inputs in zip(found, listed, strict=True):
            coding.append((now + 1 + latencies.fixed.begins, coded))
            now += latencies.driven + coded
            if part == Part.POWER and additive:
                now += latencies.store + 1
                continue
            last = self._sweep(chain, inputs).last
            now = self._last_sum(now + last, chain) + latencies.store + 1
        return now - 1 + latencies.convert(lines, registers)

    def _sweep(self, chain: bool, listed: int, one_block: bool = False) -> SweepCycles:
        """Return how long a sweep takes, or its first block."""
        place = self._place
        if one_block:
            lanes = min(self._config.build.lanes, place.lane_lines)
            place = place._replace(**{"rows" if place.turned else "cols": lanes})
        serial = listed if chain else place.serial
        bare = chain and not self._latencies.device.visible
        return sweep(self._config, place, serial, chain, bare)

    def _last_sum(self, last: int, chain: bool) -> int:
        """Return when the last sum comes, after the last visit."""
        array = self._latencies.array
        if chain:
            return last + array.drain(chain=self._last_block) - 1
        return last + array.drain() - self._latencies.fixed.sums + 3

"""Random frames, whole and damaged, for both ends of a link.

``python bench/fuzz_link.py --frames 100000 --seed 1`` gives so many to the gateware, beside its
golden twin, then sends so many between a host and the twin over a cable that damages them. It stops
at the first difference, hang or frame that is not understood behind a damaged one, and prints what
repeats it: each block of 1,000 frames has a seed of its own.
"""

import time
from collections import Counter

import click

from ohmgrid.doors.checks import check_int
from ohmgrid.studies.bad_cable import HostFuzz, hasten
from ohmgrid.studies.link_fuzz import LinkFuzz

BLOCK = 1000
"""Frames of a seed."""


@click.command()
@click.option("--frames", default=100_000, help="Frames [100000].")
@click.option("--seed", default=1, help="Of the first block; the next has the next one [1].")
def main(frames: int, seed: int) -> None:
    """Try both ends of a link with random frames."""
    check_int("frames", frames, 1, 10**9)
    hasten()
    for end, fuzz_of in (("gateware", LinkFuzz), ("host", HostFuzz)):
        kinds: Counter[str] = Counter()
        begin = time.perf_counter()
        for first in range(0, frames, BLOCK):
            own = seed + first // BLOCK
            fuzz, size = fuzz_of(own), min(BLOCK, frames - first)
            try:
                while fuzz.frames < size:
                    fuzz.step()
            except Exception as fault:
                fault.add_note(f"repeat it: --frames {BLOCK} --seed {own}")
                raise
            kinds.update(fuzz.kinds)
        found = ", ".join(f"{number} {kind}" for kind, number in kinds.items())
        click.echo(f"{end}: {found}; no fault, {time.perf_counter() - begin:.0f} s")


if __name__ == "__main__":
    main()

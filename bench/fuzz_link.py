"""Random frames, whole and damaged, for both ends of a link.

``python bench/fuzz_link.py --frames 100000 --seed 1`` gives so many to the gateware, beside its
golden twin, then sends so many between a host and the twin over a cable that damages them. It stops
at the first difference, hang or frame that is not understood behind a damaged one, and prints what
repeats it: each block of 1,000 frames has a seed of its own.
"""

import click

from ohmgrid.doors.checks import check_int
from ohmgrid.studies.bad_cable import HostFuzz, hasten
from ohmgrid.studies.fuzzing import fuzz_blocks
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

        def run(own: int, size: int, fuzz_of=fuzz_of) -> dict[str, int]:
            fuzz = fuzz_of(own)
            while fuzz.frames < size:
                fuzz.step()
            return fuzz.kinds

        click.echo(f"{end}: {fuzz_blocks(run, frames, BLOCK, seed, '--frames')}")


if __name__ == "__main__":
    main()

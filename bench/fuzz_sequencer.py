"""Random step tables, registers, truncated streams and resets, gateware beside golden interpreter.

``python bench/fuzz_sequencer.py --tables 10000 --seed 1`` runs that many tables, and with every
tenth one random registers and commands, and a run whose words end, with a reset. It stops at the
first fault and prints what repeats it: each block of 25 tables has a seed of its own.
"""

import click

from ohmgrid.doors.checks import check_int
from ohmgrid.studies.fuzzing import fuzz_blocks
from ohmgrid.studies.step_fuzz import StepFuzz

BLOCK = 25
"""Tables of a seed."""


@click.command()
@click.option("--tables", default=10000, help="Step tables [10000].")
@click.option("--seed", default=1, help="Of the first block; the next has the next one [1].")
def main(tables: int, seed: int) -> None:
    """Compare gateware and golden interpreter on random input."""
    check_int("tables", tables, 1, 10**9)

    def run(own: int, size: int) -> dict[str, int]:
        fuzz = StepFuzz(own)
        fuzz.block(size)
        return fuzz.kinds

    click.echo(f"{tables} tables: {fuzz_blocks(run, tables, BLOCK, seed, '--tables')}")


if __name__ == "__main__":
    main()

"""Random step tables, registers, truncated streams and resets, gateware beside golden interpreter.

``python bench/fuzz_sequencer.py --tables 10000 --seed 1`` runs that many tables, and with every
tenth one random registers and commands, and a run whose words end, with a reset. It stops at the
first fault and prints what repeats it: each block of 25 tables has a seed of its own.
"""

import time
from collections import Counter

import click

from ohmgrid.doors.checks import check_int
from ohmgrid.studies.step_fuzz import StepFuzz

BLOCK = 25
"""Tables of a seed."""


@click.command()
@click.option("--tables", default=10000, help="Step tables [10000].")
@click.option("--seed", default=1, help="Of the first block; the next has the next one [1].")
def main(tables: int, seed: int) -> None:
    """Compare gateware and golden interpreter on random input."""
    check_int("tables", tables, 1, 10**9)
    kinds: Counter[str] = Counter()
    begin = time.perf_counter()
    for first in range(0, tables, BLOCK):
        own = seed + first // BLOCK
        fuzz = StepFuzz(own)
        try:
            fuzz.block(min(BLOCK, tables - first))
        except Exception as fault:
            fault.add_note(f"repeat it: --tables {BLOCK} --seed {own}")
            raise
        kinds.update(fuzz.kinds)
    found = ", ".join(f"{number} {kind}" for kind, number in kinds.items())
    click.echo(f"{tables} tables: {found}; no fault, {time.perf_counter() - begin:.0f} s")


if __name__ == "__main__":
    main()

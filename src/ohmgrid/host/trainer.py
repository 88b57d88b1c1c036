"""What a host loads so that a core trains by itself: step table, scales, places, activation."""

from collections.abc import Iterator, Sequence

from ohmgrid.host.protocol import table_command
from ohmgrid.registers.layers import SCALE_BITS, Scale, half_table
from ohmgrid.registers.layout import Place
from ohmgrid.registers.map import STEP_WORD_BITS, TRAINER
from ohmgrid.registers.steps import MOST_STEPS, Bank, Step, vector

__all__ = ["load_activation", "load_places", "load_scales", "load_steps"]


def load_steps(steps: Sequence[Step]) -> list[int]:
    """Return the commands that load a step table.

    Raises
    ------
    ValueError
        If it is too long.
    """
    if not 1 <= len(steps) <= MOST_STEPS:
        raise ValueError(f"steps: expected 1..{MOST_STEPS}, got {len(steps)}")
    mask = (1 << STEP_WORD_BITS) - 1
    halves = (
        (2 * number + half, word >> STEP_WORD_BITS * half & mask)
        for number, word in enumerate(step.pack() for step in steps)
        for half in range(2)
    )
    return [table_command(TRAINER["step"], *write) for write in halves]


def load_scales(scales: Sequence[Scale]) -> list[int]:
    """Return the commands that load the scales that steps name, from number 0 on."""
    return [
        table_command(TRAINER["scale"], number, mantissa | shift << SCALE_BITS)
        for number, (mantissa, shift) in enumerate(scales)
    ]


def load_places(places: Sequence[Place]) -> list[int]:
    """Return the commands that say where the vectors of arrays lie at the edge."""

    def lines() -> Iterator[tuple[int, int]]:
        for number, place in enumerate(places):
            yield vector(Bank.X, number), place.input_line
            yield vector(Bank.D, number), place.output_line

    # Two banks, told apart by their lowest bit.
    mask = 2 * vector(Bank.X, 0) - 1
    return [table_command(TRAINER["vector"], number & mask, line) for number, line in lines()]


def load_activation(name: str, x_frac: int) -> list[int]:
    """Return the commands that load the table of an activation; a ReLU has none."""
    if name == "relu":
        return []
    table = half_table(name, x_frac)
    return [table_command(TRAINER["activation"], *write) for write in enumerate(table)]

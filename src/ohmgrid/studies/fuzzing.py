"""Random input in blocks, each with a seed of its own, so that a fault can be repeated."""

import time
from collections import Counter
from collections.abc import Callable, Mapping

__all__ = ["Fault", "fuzz_blocks"]


class Fault(AssertionError):
    """The gateware, or a host, did something else than it should."""


def fuzz_blocks(
    run: Callable[[int, int], Mapping[str, int]], total: int, block: int, seed: int, option: str
) -> str:
    """Run random input block by block; return a line of what there was.

    An error gets a note of the options that repeat its block.

    Parameters
    ----------
    run : callable
        Called with the seed of a block and its size; returns how many there were of each kind.
    total, block : int
        Size of all blocks together, and of one.
    seed : int
        Of the first block; the next one has the next one.
    option : str
        The option of the command that says the size.
    """
    kinds: Counter[str] = Counter()
    begin = time.perf_counter()
    for first in range(0, total, block):
        own = seed + first // block
        try:
            kinds.update(run(own, min(block, total - first)))
        except Exception as fault:
            fault.add_note(f"repeat it: {option} {block} --seed {own}")
            raise
    found = ", ".join(f"{number} {kind}" for kind, number in kinds.items())
    return f"{found}; no fault, {time.perf_counter() - begin:.0f} s"

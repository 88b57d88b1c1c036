"""What a run of a step table is given, and how it ends if it cannot be done."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ohmgrid.counters import Counters
from ohmgrid.net import Answer

__all__ = ["IllegalStep", "NoArray", "Order", "UndefinedStep"]


class IllegalStep(ValueError):
    """A step that cannot be done: the run is over, and what was done before stands.

    Parameters
    ----------
    at : int
        Number of the step.
    problem : str
    answers : list of Answer
        Of the examples that were counted before.
    no_array : bool
        The step names an array that is not there.
    """

    def __init__(self, at: int, problem: str, answers: list[Answer], no_array: bool) -> None:
        super().__init__(f"step {at}: {problem}")
        self.at, self.answers, self.no_array = at, answers, no_array


class UndefinedStep(ValueError):
    """A step whose operands are not those that its verb needs; gateware does anything with them,
    and ends the run all the same."""


class NoArray(Exception):
    """A step names an array that is not there."""


class Order(NamedTuple):
    """What a run is given beside its table."""

    batch: int = 1
    """Examples of a mini-batch; the last one may have fewer."""
    rate: float = 0.0
    """Learning rate of each example."""
    counters: Counters | None = None
    """Counts what clips and what is pulsed, if it is to be counted."""
    host: Callable[[np.ndarray], np.ndarray] | None = None
    """Gives the errors of the results that are sent to it."""
    watch: Callable[[str, int, str, np.ndarray], object] | None = None
    """Sees what steps leave, as of `ohmgrid.core.Seen`."""

"""Examples as a file has them, and the split of those that come without a test part."""

from dataclasses import dataclass, field, replace

import numpy as np

from ohmgrid.doors.checks import ConfigError

__all__ = ["EVERY", "Part", "Raw"]

EVERY = 5
"""One example in so many is for the test where a file has no test part."""


@dataclass(frozen=True)
class Part:
    """Examples of one kind: to train on, or to test with."""

    images: np.ndarray
    """Numbers, shape (examples, inputs) or (examples, height, width)."""
    labels: np.ndarray | None
    """Numbers, or texts of the classes' names; None where the file has none."""
    name: str = "images"
    """What errors call the images."""
    labels_name: str = "labels"

    def take(self, chosen: np.ndarray) -> "Part":
        """Return some of the examples."""
        labels = None if self.labels is None else self.labels[chosen]
        return replace(self, images=self.images[chosen], labels=labels)


def _by_class(part: Part) -> np.ndarray:
    """Return the order of examples by class, of one class as they come."""
    if part.labels is None:
        return np.arange(len(part.images))
    _, kinds = np.unique(part.labels, axis=0, return_inverse=True)
    return np.argsort(kinds.ravel(), kind="stable")


@dataclass(frozen=True)
class Raw:
    """A data set as its files have it."""

    train: Part
    test: Part | None
    """None where there is no test part, or one without labels."""
    notes: tuple[str, ...] = field(default=())
    """One line each: what was left out or understood of the files."""

    def split(self) -> "Raw":
        """Return the set with a test part: its own, or every fifth example.

        Examples are counted class by class, in the order of the file, so that every class has its
        part however the file is sorted.
        """
        if self.test is not None:
            return self
        examples = len(self.train.images)
        if examples < EVERY:
            raise ConfigError(
                self.train.name,
                f"expected at least {EVERY} examples, of which every fifth is for the test, "
                f"got {examples}",
            )
        test = np.zeros(examples, bool)
        test[_by_class(self.train)[EVERY - 1 :: EVERY]] = True
        note = (
            f"no test part with labels: {test.sum()} of {examples} examples, every fifth of "
            "each class, are for the test"
        )
        return Raw(self.train.take(~test), self.train.take(test), (*self.notes, note))

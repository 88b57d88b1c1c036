"""What a kernel reads of a held tuple is what the tuple holds."""

from typing import Any, NamedTuple

import numpy as np
import pytest

from ohmgrid.compiled.held import hold
from ohmgrid.compiled.jit import kernel


class Leaf(NamedTuple):
    number: int
    values: np.ndarray


class Tree(NamedTuple):
    base: np.uint64
    matrix: np.ndarray
    leaf: Leaf
    leaves: tuple[Leaf, ...]


def leaf(rng: np.random.Generator) -> Leaf:
    number = int(rng.integers(-(1 << 62), 1 << 62))
    return Leaf(number, rng.integers(0, 1 << 16, int(rng.integers(1, 9)), dtype=np.uint16))


def read_all(tree):
    total = tree.leaf.number ^ tree.leaf.values.sum()
    for k in range(len(tree.leaves)):
        total ^= k * tree.leaves[k].number + len(tree.leaves[k].values)
        total ^= np.int64(tree.leaves[k].values[-1])
    for row in range(tree.matrix.shape[0]):
        for column in range(tree.matrix.shape[1]):
            total = 3 * total ^ tree.matrix[row, column]
    return total ^ np.int64(tree.base)


def test_kernels_read_what_was_held(rng):
    compiled: Any = kernel(read_all)
    for _ in range(50):
        shape = tuple(rng.integers(0, 6, 2))
        tree = Tree(
            np.uint64(rng.integers(0, 1 << 63, dtype=np.uint64)),
            rng.integers(-(1 << 31), 1 << 31, shape).astype(np.int32),
            leaf(rng),
            tuple(leaf(rng) for _ in range(int(rng.integers(1, 5)))),
        )
        with np.errstate(over="ignore"):
            assert compiled(hold(tree)) == compiled(tree)
    assert len(compiled.signatures) >= 2  # one for tables, others for tuples


def test_what_a_kernel_writes_is_in_the_arrays():
    values = np.zeros(4, np.int64)

    class Room(NamedTuple):
        values: np.ndarray

    def fill(room):
        for k in range(len(room.values)):
            room.values[k] = k * k

    kernel(fill)(hold(Room(values)))
    assert values.tolist() == [0, 1, 4, 9]


@pytest.mark.parametrize("wrong", [1.5, "text", None, (), np.arange(6).reshape(2, 3).T])
def test_what_no_kernel_can_be_handed_is_refused(wrong):
    with pytest.raises(TypeError, match="number: expected what a kernel can be handed, got"):
        hold(Leaf(wrong, np.zeros(2)))


def test_tuples_of_one_kind_alone_stand_in_a_row(rng):
    one, other = leaf(rng), Leaf(1, np.zeros(2))
    with pytest.raises(TypeError, match="leaves: expected tuples that are alike"):
        hold(Tree(np.uint64(1), np.zeros((1, 1)), one, (one, other)))

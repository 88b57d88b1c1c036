"""Matrices of networks with delay."""

import numpy as np
import pytest

from ohmgrid.doors.checks import ConfigError
from ohmgrid.studies.matrices import (
    all_inhibitory,
    hopfield,
    random_patterns,
    random_symmetric,
    read_matrix,
    ring,
)


def test_no_row_adds_up_to_more_than_one():
    patterns = random_patterns(3, 20, 1)
    for matrix in (ring(5), all_inhibitory(4), random_symmetric(9, 2), hopfield(patterns)):
        assert np.abs(matrix).sum(axis=1).max() == pytest.approx(1.0)
    assert all_inhibitory(1) == [[-1.0]]
    assert ring(1) == [[-1.0]]


def test_they_are_what_they_say():
    assert np.array_equal(np.linalg.matrix_power(ring(5), 5), -np.eye(5))
    random = random_symmetric(9, 2)
    assert np.array_equal(random, random.T)
    assert not np.diag(random).any()
    assert not np.array_equal(random, random_symmetric(9, 3))
    patterns = random_patterns(40, 50, 7)
    assert set(np.unique(patterns)) == {-1.0, 1.0}
    assert abs(patterns.mean()) < 0.1
    # A stored pattern is nearly an eigenvector.
    few = random_patterns(2, 50, 7)
    assert (np.sign(hopfield(few) @ few[0]) == few[0]).all()


def test_files(tmp_path):
    matrix = np.array([[0.0, -0.5], [0.25, 1.0]])
    np.savez(tmp_path / "m.npz", matrix)
    (tmp_path / "m.csv").write_text("0, -0.5\n0.25,1\n\n")
    for name in ("m.npz", "m.csv"):
        assert np.array_equal(read_matrix(tmp_path / name), matrix)


@pytest.mark.parametrize(
    ("text", "message"),
    [("1,2\n3\n", "rows of as many numbers"), ("1,x\n", "line 1: expected a number"), ("", "rows")],
)
def test_wrong_files_are_refused(tmp_path, text, message):
    (tmp_path / "m.csv").write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_matrix(tmp_path / "m.csv")
    with pytest.raises(ConfigError, match=r"net: expected ring, inhibitory"):
        read_matrix(tmp_path / "m.txt")

"""How long blocks are: as the engine wants them, and shorter while somebody watches."""

import statistics

import pytest

from ohmgrid.training.pace import WATCHED_S, Pace


def trained(pace: Pace, blocks: int, per_example: float, per_block: float = 0.0) -> list[float]:
    """Train on an engine whose blocks take so long; return the seconds of each."""
    found = []
    for _ in range(blocks):
        size = pace.size()
        seconds = per_block + size * per_example
        pace.took(size, seconds)
        found.append(seconds)
    return found


@pytest.mark.parametrize(
    ("most", "batch", "size"), [(512, 1, 512), (512, 100, 500), (64, 128, 128)]
)
def test_unwatched_a_block_is_the_engines(most, batch, size):
    pace = Pace(most, batch)
    assert pace.size() == size
    trained(pace, 100, 1.0)
    assert pace.size() == size


@pytest.mark.parametrize("batch", [1, 7])
def test_watched_a_block_lasts_as_long_as_a_look_may_wait(batch):
    pace = Pace(1 << 20, batch)
    trained(pace, 1, 1e-5)
    pace.watched = True
    for per_example in (1e-5, 1e-4, 1e-3 / batch):
        seconds = trained(pace, 100, per_example)[-30:]
        assert (
            0.9 * WATCHED_S - batch * per_example
            <= statistics.median(seconds)
            <= WATCHED_S * 1.0001
        )
        assert pace.size() % batch == 0
    # An engine of seconds for an example: a mini-batch, no less.
    trained(pace, 50, 3.0)
    assert pace.size() == batch
    pace.watched = False
    assert pace.size() == (1 << 20) // batch * batch


@pytest.mark.parametrize("per_block", [0.002, 0.02])
def test_an_engine_whose_calls_cost_something_gets_longer_blocks(per_block):
    pace = Pace(1 << 20, 1)
    pace.watched = True
    trained(pace, 2000, 1e-4, per_block)
    seconds = trained(pace, 60, 1e-4, per_block)
    share = per_block * len(seconds) / sum(seconds)
    assert 0.01 < share < 0.03


def test_a_busy_machine_is_no_costly_engine(rng):
    pace = Pace(1 << 20, 1)
    pace.watched = True
    slow = 1.0
    for _ in range(3000):
        size = pace.size()
        # Now and then everything takes twice as long.
        slow = rng.choice([1.0, 2.0]) if rng.random() < 0.02 else slow
        pace.took(size, size * 1e-4 * slow * rng.uniform(0.9, 1.1))
    assert pace.seconds < 3 * WATCHED_S


def test_a_clock_that_stands_still_says_nothing():
    pace = Pace(64, 1)
    pace.watched = True
    trained(pace, 100, 0.0)
    assert pace.size() == 64

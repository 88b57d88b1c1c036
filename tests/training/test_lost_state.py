"""An engine loses what it holds: its run goes on from the last checkpoint, to the same bits."""

import numpy as np
import pytest

from ohmgrid.config import Config
from ohmgrid.core import StateLost
from ohmgrid.engines import make_core
from ohmgrid.training.data import Dataset
from ohmgrid.training.plan import Plan
from ohmgrid.training.session import Session


def blobs() -> Dataset:
    rng = np.random.default_rng(3)
    labels = np.arange(60) % 3
    x = rng.integers(0, 4097, (60, 8)).astype(np.int32)
    return Dataset("blobs", x, labels, x[:9], labels[:9], (8,))


def session() -> Session:
    plan, config = Plan("blobs", "", "8-4-3", epochs=2), Config()
    return Session(config, plan, blobs(), make_core("model", config, plan.net()))


@pytest.mark.parametrize("saves", [True, False])
def test_a_run_goes_on_where_it_was_kept_last(rng, saves, monkeypatch):
    """At random calls of the engine; without a checkpoint it begins anew."""
    alone, run, lost = session(), session(), []
    alone.start()
    alone.run(lambda: False, lambda progress: None, lambda row: None)
    left = 5

    def fails(call):
        def called(*arguments):
            nonlocal left
            if left and rng.random() < 0.3:
                left -= 1
                # What it held is gone.
                for tile in run.core.tiles:
                    tile.weights[:] = 77
                raise StateLost("board: forgot")
            return call(*arguments)

        return called

    run.start()
    for name in ("train", "count_hits", "state"):
        monkeypatch.setattr(run.core, name, fails(getattr(run.core, name)))

    def keep(progress) -> None:
        if saves:
            run.checkpoint()

    assert run.run(lambda: False, keep, lambda row: None, lost.append)
    assert run.look(lambda: run.state_sha256) == alone.state_sha256
    assert set(lost) <= {"board: forgot"}
    assert run.core.counters == alone.core.counters
    seconds = [[{**row, "seconds": 0} for row in one.history] for one in (run, alone)]
    assert seconds[0] == seconds[1]

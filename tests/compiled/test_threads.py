"""Threads whose partner fails, or never begins, end with an error; none of them spins."""

import subprocess
import sys

import pytest

# In a process of its own: threads that spin cannot be ended from within.
RUN = """
import sys, threading
import numpy as np
from ohmgrid.config import Config
from ohmgrid.engines import make_tiles, make_trainer
from ohmgrid.compiled import trainer as module
from ohmgrid.net import Net

config, net = Config(batch=4), Net((6, 5, 3))
trainer = make_trainer(config, make_tiles("compiled", config, net.shapes), net, 2)
trainer.initialise()
pixels, labels = np.full((40, 6), 1000), np.zeros(40, np.int64)
trainer.train(pixels, labels, 0.1, 4)
if sys.argv[1] == "fails":
    train_block = module.train_block

    def broken(*arguments):
        part = next(a for a in arguments if isinstance(a, module.Share))
        if part.number == 1:
            raise MemoryError("no room for this thread")
        return train_block(*arguments)

    module.train_block = broken
elif sys.argv[1] == "never begins":
    # A new pool, in which the second thread cannot be started.
    pool = trainer._pool = module.ThreadPoolExecutor(2)
    start, started = threading.Thread.start, []

    def limited(thread):
        if started:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    threading.Thread.start = limited
before = [tile.state().weights for tile in trainer.tiles]
try:
    trainer.train(pixels, labels, 0.1, 4)
except Exception as error:
    print(type(error).__name__, error)
else:
    print("trained")
# What a pool could not start it keeps, and runs once a thread is free: nothing may change then.
trainer._pool.shutdown()
same = all(np.array_equal(w, t.state().weights) for w, t in zip(before, trainer.tiles))
print("weights as before" if same else "weights changed")
"""


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("works", "trained\nweights changed"),
        ("fails", "MemoryError no room for this thread\nweights as before"),
        ("never begins", "RuntimeError can't start new thread\nweights as before"),
    ],
)
def test_threads_end_together(what, said):
    done = subprocess.run(
        [sys.executable, "-c", RUN, what], capture_output=True, text=True, timeout=500, check=False
    )
    assert (done.stdout, done.stderr, done.returncode) == (f"{said}\n", "", 0)

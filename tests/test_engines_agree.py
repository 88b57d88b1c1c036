"""Valid and refused calls mixed, all engines side by side: results, states and errors are equal."""

from typing import Any

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from tile_cases import BUILDS

from ohmgrid.config import Config
from ohmgrid.devices.presets import PRESETS
from ohmgrid.engines import ENGINES, make_core
from ohmgrid.net import Net
from ohmgrid.tile import TileState

ROWS, COLS, TOP = 3, 5, (1 << 15) - 1
RATES: st.SearchStrategy[Any] = st.sampled_from(
    [
        0.02,
        0.5,
        np.float32(0.02),
        0.0,
        -1.0,
        float("nan"),
        float("inf"),
        1e-12,
        1e12,
        10**400,
        "0.1",
        None,
    ]
)


def vectors(lines: int) -> st.SearchStrategy[Any]:
    """Vectors of a tile's edge, and some that are none."""
    value = st.integers(-TOP, TOP)
    good = st.lists(value, min_size=lines, max_size=lines).map(lambda v: np.array(v, np.int64))
    wrong: st.SearchStrategy[Any] = st.sampled_from(
        [
            np.zeros(lines + 1, np.int64),
            np.zeros((1, lines), np.int64),
            np.full(lines, TOP + 1),
            np.full(lines, -TOP - 1),
            np.zeros(lines),
            [[1], [2, 3]],
            None,
        ]
    )
    return st.one_of(good, good, good, wrong)


class Engines(RuleBasedStateMachine):
    """One tile on every engine."""

    def __init__(self):
        super().__init__()
        config = Config(build=BUILDS[4], device=PRESETS["capacitor"])
        self.tiles = [
            make_core(engine, config, Net((COLS - 1, ROWS))).tiles[0] for engine in ENGINES
        ]

    def same(self, call):
        """Call every tile; check that all answer, or refuse, alike."""
        found = []
        for tile in self.tiles:
            try:
                result = call(tile)
                found.append(None if result is None else np.asarray(result).tolist())
            except (ValueError, TypeError) as error:
                found.append((type(error).__name__, str(error)))
        assert found[1:] == found[:-1]

    @rule(x=vectors(COLS))
    def forward(self, x):
        self.same(lambda tile: tile.forward(x))

    @rule(d=vectors(ROWS))
    def backward(self, d):
        self.same(lambda tile: tile.backward(d))

    @rule(x=vectors(COLS), d=vectors(ROWS), lr=RATES)
    def update(self, x, d, lr):
        self.same(lambda tile: tile.update(x, d, lr))

    @rule(x=vectors(COLS), d=vectors(ROWS), lr=RATES)
    def backward_update(self, x, d, lr):
        self.same(lambda tile: tile.backward_update(x, d, lr))

    @rule(
        weights=st.sampled_from([(ROWS, COLS), (COLS, ROWS)]),
        value=st.integers(-(1 << 17), 1 << 17),
        steps=st.sampled_from([(1, 2, 3), (0, 0, -1), (0, 0), (1 << 48, 0, 0), (1, 1.5, 2)]),
    )
    def load(self, weights, value, steps):
        state = TileState(np.full(weights, value, np.int32), steps)
        self.same(lambda tile: tile.load(state))

    @invariant()
    def equal(self):
        states = [tile.state() for tile in self.tiles]
        reports = [
            (t.passes, t.saturated, t.pulses, s.steps)
            for t, s in zip(self.tiles, states, strict=True)
        ]
        assert reports[1:] == reports[:-1]
        for state in states[1:]:
            np.testing.assert_array_equal(state.weights, states[0].weights)


TestEngines = Engines.TestCase
TestEngines.settings = settings(max_examples=30, stateful_step_count=20)

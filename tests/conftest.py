"""What all tests share: random numbers that can be repeated, and the simulator in the header."""

import os
import secrets

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from ohmgrid.sim.simulators import SimulatorMissing, simulator

# A failure prints the example and the decorator that repeats it (`print_blob`). No deadline: the
# first example may elaborate, synthesise or compile, the second finds it done.
settings.register_profile(
    "ohmgrid",
    max_examples=25,
    deadline=None,
    print_blob=True,
    # Elaborating a component is slow by hypothesis' measure, and that is no fault of the strategy.
    suppress_health_check=[HealthCheck.too_slow],
)
# For a night's run: HYPOTHESIS_PROFILE=thorough make test
settings.register_profile("thorough", settings.get_profile("ohmgrid"), max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ohmgrid"))


def pytest_report_header() -> str:
    """Say which simulator the cocotb tests use: bits must not depend on it, speed does."""
    try:
        return f"cocotb simulator: {simulator()}"
    except SimulatorMissing as missing:
        return str(missing)


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    """Random numbers whose seed is printed with a failure; OHMGRID_TEST_SEED repeats it."""
    seed = int(os.environ.get("OHMGRID_TEST_SEED") or secrets.randbits(32))
    print(f"{request.node.name}: OHMGRID_TEST_SEED={seed}")
    return np.random.default_rng(seed)

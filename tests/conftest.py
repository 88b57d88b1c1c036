"""What all tests share: random numbers that can be repeated, and the simulator in the header."""

import os
import secrets
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from ohmgrid.devices.steps import (
    ConstantStep,
    ExpStep,
    LinearStep,
    PiecewiseStep,
    PowStep,
    PowStepReference,
    SoftBounds,
    SoftBoundsReference,
)
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


@pytest.fixture
def fixed_rng(request: pytest.FixtureRequest) -> np.random.Generator:
    """Random numbers that are a test's own and the same in every run.

    For statistics: of fresh numbers, a bound of four standard errors fails once in 16,000 times
    without a fault.
    """
    return np.random.default_rng(zlib.crc32(request.node.name.encode()))


@pytest.fixture(scope="session")
def devices() -> st.SearchStrategy:
    """Step devices of all classes with any parameters; registers may still refuse one."""
    spread, flag = st.floats(0, 1), st.booleans()
    common = {
        "dw_min": st.floats(1e-5, 0.1),
        "dw_min_dtod": spread,
        "dw_min_dtod_log_normal": flag,
        "dw_min_std": st.floats(0, 7.9),
        "up_down": st.floats(-0.99, 0.99),
        "up_down_dtod": spread,
        "w_max": st.floats(0.1, 8.0),
        "w_max_dtod": spread,
        "w_min": st.floats(-8.0, 0.0),
        "w_min_dtod": spread,
        "corrupt_devices_prob": st.sampled_from([0.0, 0.1]),
        "perfect_bias": flag,
    }
    noise = {"mult_noise": flag, "write_noise_std": st.sampled_from([0.0, 2.0])}
    slope, slope_spread = st.floats(0, 1.9), st.floats(0, 0.5)
    linear = {
        "gamma_up": slope,
        "gamma_down": slope,
        "gamma_up_dtod": slope_spread,
        "gamma_down_dtod": slope_spread,
        "allow_increasing": flag,
        "mean_bound_reference": flag,
    }
    reference = {"reference_mean": st.floats(-0.5, 0.5), "reference_std": st.floats(0, 0.2)}
    power = {
        "pow_gamma": st.floats(0, 3.5),
        "pow_gamma_dtod": spread,
        "pow_up_down": st.floats(-0.99, 0.99),
        "pow_up_down_dtod": spread,
    }
    exponential = {
        "A_up": st.floats(-10, 0.9),
        "A_down": st.floats(-10, 0.9),
        "gamma_up": st.floats(-5, 5),
        "gamma_down": st.floats(-5, 5),
        "a": st.floats(-1, 1),
        "b": st.floats(-0.5, 0.5),
        "dw_min_std_add": st.floats(0, 0.1),
        "dw_min_std_slope": st.floats(0, 0.1),
    }
    nodes = st.lists(st.floats(0, 4), min_size=5, max_size=5).map(tuple)
    return st.one_of(
        st.builds(ConstantStep, **common),
        st.builds(LinearStep, **common, **linear, **noise),
        st.builds(SoftBounds, **common, **noise),
        st.builds(SoftBoundsReference, **common, **noise, **reference),
        st.builds(ExpStep, **common, **exponential),
        st.builds(PowStep, **common, **power),
        st.builds(PowStepReference, **common, **power, **reference),
        st.builds(PiecewiseStep, **common, piecewise_up=nodes, piecewise_down=nodes),
    )


@pytest.fixture
def blobs(tmp_path) -> str:
    """A small file of three kinds of 4x4 images."""
    rng = np.random.default_rng(1)
    labels = np.arange(48) % 3
    images = (rng.random((48, 4, 4)) * 60).astype(np.uint8)
    for row in range(3):
        images[labels == row, row] += 190
    path = tmp_path / "blobs.npz"
    np.savez(
        path,
        train_images=images[:36],
        train_labels=labels[:36],
        test_images=images[36:],
        test_labels=labels[36:],
    )
    return str(path)

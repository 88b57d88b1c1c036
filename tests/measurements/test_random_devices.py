"""Random devices, measured, written in a random form, read back and fitted: stated errors hold.

With four cycles of 150 pulses each way and steps that vary by up to 30 %, of a class that is told:
the mean step at mid-range within 8 %, the noise of steps within 20 %, the course within 2.5 % of
the range.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from measured import EVEN, course, true_step

from ohmgrid.devices.base import StepDevice
from ohmgrid.devices.steps import (
    ConstantStep,
    ExpStep,
    LinearStep,
    PiecewiseStep,
    PowStep,
    SoftBounds,
)
from ohmgrid.measurements.courses import Measurement
from ohmgrid.measurements.fitting import fit_measurement
from ohmgrid.measurements.reader import read_measurement

ENDS = {"w_max": 1.0, "w_min": -1.0}


def between(low: float, high: float) -> st.SearchStrategy[float]:
    return st.floats(low, high)


STEPS = between(0.012, 0.03)
DEVICES: st.SearchStrategy[StepDevice] = st.one_of(
    st.builds(ConstantStep, dw_min=STEPS, up_down=between(-0.3, 0.3),
              **{k: st.just(v) for k, v in (EVEN | ENDS).items()}),
    st.builds(LinearStep, dw_min=STEPS, gamma_up=between(0.2, 0.8), gamma_down=between(0.2, 0.8),
              gamma_up_dtod=st.just(0.0), gamma_down_dtod=st.just(0.0),
              **{k: st.just(v) for k, v in (EVEN | ENDS).items()}),
    st.builds(SoftBounds, dw_min=STEPS.map(lambda step: 1.5 * step), up_down=between(-0.2, 0.2),
              **{k: st.just(v) for k, v in (EVEN | ENDS).items()}),
    st.builds(ExpStep, dw_min=STEPS, A_up=between(0.05, 0.3), A_down=between(0.05, 0.3),
              gamma_up=between(2.0, 6.0), gamma_down=between(2.0, 6.0), a=st.just(0.5),
              b=st.just(0.0), **{k: st.just(v) for k, v in (EVEN | ENDS).items()}),
    st.builds(PowStep, dw_min=STEPS.map(lambda step: 2 * step), pow_gamma=between(0.7, 2.2),
              pow_gamma_dtod=st.just(0.0), **{k: st.just(v) for k, v in (EVEN | ENDS).items()}),
    st.builds(
        PiecewiseStep,
        dw_min=STEPS,
        piecewise_up=st.lists(between(0.5, 1.6), min_size=5, max_size=5).map(tuple),
        piecewise_down=st.lists(between(0.5, 1.6), min_size=5, max_size=5).map(tuple),
        **{k: st.just(v) for k, v in (EVEN | ENDS).items()},
    ),
)  # fmt: skip
FORMS = st.tuples(
    st.sampled_from([",", ";", "\t"]),
    st.sampled_from([("conductance (S)", 1.0), ("G (uS)", 1e-6), ("resistance (ohm)", None)]),
    st.sampled_from([("up", "down"), ("LTP", "LTD"), ("1", "-1")]),
    st.sampled_from(["", "\ufeff"]),
)


@pytest.mark.slow
@settings(max_examples=30, derandomize=True)
@given(device=DEVICES, form=FORMS, noise=between(0.05, 0.3), seed=st.integers(0, 2**32 - 1))
def test_a_random_device_in_a_random_form_comes_back(device, form, noise, seed, tmp_path_factory):
    weights, up = course(device, np.random.default_rng(seed), 150, 4, noise)
    values = 5e-6 + 3e-6 * weights
    separator, (name, unit), words, mark = form
    written = 1 / values if unit is None else values / unit
    lines = [separator.join(("pulse", name, "direction"))]
    lines += [
        separator.join((str(k), repr(float(value)), words[0 if rises else 1]))
        for k, (value, rises) in enumerate(zip(written, up, strict=True))
    ]
    path = tmp_path_factory.mktemp("random") / "measured.txt"
    path.write_text(mark + "\n".join(lines) + "\n", encoding="utf-8")
    found = read_measurement([path])
    assert isinstance(found, Measurement)
    fit = fit_measurement(found, device.kind)
    assert fit.chosen.step == pytest.approx(true_step(device, weights), rel=0.08)
    assert fit.device.dw_min_std == pytest.approx(noise, rel=0.2)
    assert fit.chosen.misfit < 0.025

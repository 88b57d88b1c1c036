"""Measured pulses to a device: what went in comes out, and wrong files get one line."""

from pathlib import Path

import numpy as np
import pytest

from ohmgrid.config import Config
from ohmgrid.devices.steps import LinearStep
from ohmgrid.doors.checks import ConfigError
from ohmgrid.measurements.fitting import Measurement, fit_device, read_measurement
from ohmgrid.studies.staircase import staircase

TRUE = LinearStep(
    dw_min=0.01, dw_min_dtod=0.15, dw_min_std=0.3, up_down_dtod=0.0, gamma_up=0.7, gamma_down=0.4,
    gamma_up_dtod=0.0, gamma_down_dtod=0.0, w_max=1.0, w_max_dtod=0.0, w_min=-1.0, w_min_dtod=0.0,
)  # fmt: skip


def measured() -> Measurement:
    """Return conductances of 4 uS a weight unit about 5 uS: 400 pulses up, then 800 down."""
    result = staircase(Config(device=TRUE, seed=4), 400, 800, 40, samples=40)
    return Measurement(5 + 4 * result.samples.T, np.arange(1201) <= 400)


def test_a_linear_step_is_found_again():
    fit = fit_device(measured(), 9)
    device = fit.device
    scale = fit.scale / 4
    assert scale == pytest.approx(1.0, abs=0.05)
    assert device.dw_min * scale == pytest.approx(0.01, rel=0.06)
    grid = np.linspace(-1, 1, 9)
    found = np.array(device.piecewise_down) * device.dw_min * scale
    assert found[2:7] == pytest.approx(0.01 * (1 + 0.4 * grid[2:7]), rel=0.08)
    assert device.dw_min_dtod == pytest.approx(0.15, rel=0.35)
    assert device.dw_min_std == pytest.approx(0.3, rel=0.25)
    assert fit.residual < 0.02


def test_noise_of_reads_is_told_from_noise_of_steps(fixed_rng: np.random.Generator):
    data = measured()
    noisy = data.conductance + 4 * 0.02 * fixed_rng.standard_normal(data.conductance.shape)
    device = fit_device(Measurement(noisy, data.up)).device
    assert device.write_noise_std * device.dw_min == pytest.approx(0.02, rel=0.2)


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_a_file_with_directions_and_devices(tmp_path: Path):
    rows = [
        f"{name}, {k}, {min(k, 20 - k) + shift}, {'up' if k <= 10 else 'down'}"
        for name, shift in (("a", 0), ("b", 1))
        for k in range(20)
    ]
    path = write(tmp_path / "d.csv", "Device, Pulse, Conductance, Direction\n" + "\n".join(rows))
    found = read_measurement(path)
    assert found.conductance.shape == (2, 20)
    assert found.up.sum() == 11
    assert found.conductance[1, 0] == 1


def test_without_directions_the_largest_mean_divides(tmp_path: Path):
    rows = "\n".join(f"{k},{min(k, 30 - k)}" for k in range(30))
    found = read_measurement(write(tmp_path / "d.csv", "pulse,conductance\n" + rows))
    assert found.up.sum() == 16


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "line 1: expected pulse,conductance .*got nothing"),
        ("a,b\n1,2\n", "line 1: expected pulse,conductance .*got 'a,b'"),
        ("pulse,conductance\n1,x\n", "line 2: conductance: expected a number, got 'x'"),
        ("pulse,conductance\n1,nan\n", "line 2: conductance: expected a finite number .* got nan"),
        ("pulse,conductance\n1,2\n", "expected at least 8 pulses, got 1"),
        (
            "pulse,conductance,direction\n1,2,left\n",
            "direction: expected up or down, got 'left'",
        ),
        (
            "pulse,conductance\n" + "\n".join(f"{k},{k}" for k in range(9)),
            "expected both up and down pulses",
        ),
        (
            "device,pulse,conductance\n" + "\n".join(f"a,{k},{k}" for k in range(9)) + "\nb,1,2",
            "expected the same 9 pulses for every device, 'b' has others",
        ),
        ("pulse,conductance\n1,1_0\n", "line 2: conductance: expected a number, got '1_0'"),
        ("pulse,conductance\n1,1e300\n", "line 2: conductance: expected -1e\\+100..1e\\+100"),
        ("pulse,conductance\n1,2,3\n", "line 2: expected 2 values, got 3"),
        ("pulse,conductance\n1\n", "line 2: expected 2 values, got 1"),
        ("pulse,conductance\n1,2\n\n1,3\n", "line 4: pulse: expected each once, got 1 again"),
        ("pulse,conductance,pulse\n1,2,3\n", "line 1: expected pulse,conductance"),
        ("pulse,conductance\n1," + "9" * 200000, "line 2: expected a CSV file, got: field larger"),
        ('pulse,conductance\n1,"2" 3\n', "line 2: expected a CSV file, got: ',' expected after"),
        (
            "device,pulse,conductance,direction\na,1,2,up\nb,1,2,down\n",
            "line 3: direction: expected pulse 1 as before",
        ),
    ],
)
def test_wrong_files_get_one_line(tmp_path: Path, text: str, line: str):
    path = write(tmp_path / "d.csv", text)
    with pytest.raises(ConfigError, match=line) as caught:
        read_measurement(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_a_device_that_does_not_move(tmp_path: Path):
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        read_measurement(tmp_path / "none.csv")
    with pytest.raises(ConfigError, match="expected every device to change"):
        fit_device(Measurement(np.ones((2, 20)), np.arange(20) < 10))
    with pytest.raises(ConfigError, match="expected every device to change"):
        fit_device(Measurement(1e90 + np.arange(40.0).reshape(2, 20), np.arange(20) < 10))


def test_a_device_lost_beside_another_gets_one_line():
    """In the scale that both share, the first one's range is rounded away."""
    conductance = np.tile(np.r_[np.arange(10.0), np.arange(10.0)[::-1]], (2, 1))
    fit_device(Measurement(conductance, np.arange(20) < 10))
    conductance[1, 3] = 1e30
    with pytest.raises(ConfigError, match="of the largest conductance of all"):
        fit_device(Measurement(conductance, np.arange(20) < 10))


def test_courses_that_no_device_has_get_one_line():
    """Almost all of the range is crossed in the first and in the last step."""
    middle = 0.5 + 1e-7 * np.arange(38)
    course = np.r_[0.0, middle, 1.0, middle[::-1], 0.0]
    with pytest.raises(ConfigError, match=r"measurement: .*piecewise_up: expected -100\.\.100"):
        fit_device(Measurement(course[None], np.arange(len(course)) < 40), 3)

"""Forward and backward noise on the golden tile: moments of docs/physics.md, section 2.

From more than 10^5 outputs each. Outputs of one operation may share noise, so each operation gives
one number and the standard error is that of these numbers over operations.
"""

import numpy as np
import pytest

from ohmgrid.config import Config
from ohmgrid.model.core.tile import Tile
from ohmgrid.periphery import ConverterConfig
from ohmgrid.tile import TileState

ROWS, COLS, OPERATIONS = 128, 112, 900
NOISES: dict[str, dict] = {
    "output": {"out_noise": 0.1},
    "input": {"inp_noise": 0.05},
    "additive-constant": {"w_noise": 0.03, "w_noise_type": "additive-constant"},
    "pcm-read": {"w_noise": 0.05, "w_noise_type": "pcm-read"},
    "all": {
        "out_noise": 0.05,
        "inp_noise": 0.02,
        "w_noise": 0.02,
        "w_noise_type": "pcm-read",
    },
}


def variance(io: ConverterConfig, weights: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Return the variance of each output of ``weights @ v``, the ADC's rounding included."""
    total = io.out_noise**2 + (io.out_bound / io.adc_half) ** 2 / 12
    total = total + io.inp_noise**2 * (weights**2).sum(axis=1)
    # The mean of the noisy v^2 is what counts.
    power = v**2 + io.inp_noise**2
    if io.w_noise_type == "pcm-read":
        total = total + io.w_noise**2 * np.abs(weights) @ power
    elif io.w_noise_type == "additive-constant":
        total = total + io.w_noise**2 * power.sum()
    return np.broadcast_to(total, len(weights))


@pytest.mark.parametrize("direction", ["forward", "backward"])
@pytest.mark.parametrize("noise", NOISES)
def test_moments(noise, direction, fixed_rng):
    settings = {"adc_bits": 12, "out_bound": 6.0, "out_noise": 0.0, **NOISES[noise]}
    io = ConverterConfig(**settings)
    config = Config(
        seed=int(fixed_rng.integers(2**63)),
        forward=io,
        backward=io,
    )
    tile = Tile(config, ROWS, COLS)
    weights = fixed_rng.integers(-20_000, 20_000, (ROWS, COLS), dtype=np.int32)
    tile.load(TileState(weights, (0, 0, 0)))
    forward = direction == "forward"
    lines = COLS if forward else ROWS
    matrix = (weights if forward else weights.T) * tile.lsb
    # Inputs that are DAC codes, the largest of them at full scale.
    codes = fixed_rng.integers(-io.dac_half, io.dac_half + 1, lines)
    codes[0] = io.dac_half
    run = tile.forward if forward else tile.backward
    unit = io.out_bound / io.adc_half / (io.dac_half * 32)
    v = codes / io.dac_half
    exact, sigma = matrix @ v, np.sqrt(variance(io, matrix, v))
    errors = np.array([(run(codes * 32) * unit - exact) / sigma for _ in range(OPERATIONS)])
    assert errors.size >= 10**5
    assert tile.saturated == 0
    for moment, expected in ((errors, 0.0), (errors**2, 1.0)):
        per_operation = moment.mean(axis=1)
        standard_error = per_operation.std() / np.sqrt(OPERATIONS)
        assert abs(per_operation.mean() - expected) < 4 * standard_error

"""Maps and histograms: what they show is what there is."""

import base64

import numpy as np
import pytest

from ohmgrid.config import Config
from ohmgrid.devices.presets import preset
from ohmgrid.tile import TileState
from ohmgrid.watch.pictures import MOST_LINES, Painter, block_means


@pytest.mark.parametrize("shape", [(1, 1), (3, 64), (65, 7), (250, 529), (128, 128)])
def test_a_map_is_of_means_of_blocks(rng, shape):
    weights = rng.integers(-1000, 1000, shape).astype(np.int32)
    means = block_means(weights)
    assert means.shape == tuple(min(lines, MOST_LINES) for lines in shape)
    rows, cols = means.shape
    # Every weight is in one block.
    row = np.searchsorted(np.arange(rows) * shape[0] // rows, np.arange(shape[0]), "right") - 1
    col = np.searchsorted(np.arange(cols) * shape[1] // cols, np.arange(shape[1]), "right") - 1
    for i, j in zip(rng.integers(0, rows, 20), rng.integers(0, cols, 20), strict=True):
        block = weights[np.ix_(row == i, col == j)]
        assert means[i, j] == pytest.approx(block.mean(), abs=1e-9)


@pytest.mark.parametrize("device", ["gokmen-vlasov", "pcm"])
def test_a_histogram_holds_every_weight(rng, device):
    config = Config(device=preset(device))
    painter = Painter(config)
    top = (1 << (config.formats.weight_bits - 1)) - 1
    devices = rng.integers(-top, top + 1, (8, 5)).astype(np.int32)
    devices[0, 0], devices[1, 0] = top, -top  # the largest difference
    (picture,) = painter.paint([TileState(devices, (0, 0, 0))])
    weights = devices[0::2] - devices[1::2] if config.device.paired else devices
    lsb = painter.full / (top + 1) / (2 if config.device.paired else 1)
    edges = np.linspace(-painter.full, painter.full, painter.bins + 1)
    expected, _ = np.histogram(weights * lsb, edges)
    counts = np.zeros(painter.bins, np.int64)
    counts[picture.first : picture.first + len(picture.counts)] = picture.counts
    assert counts.tolist() == expected.tolist()
    levels = np.frombuffer(base64.b64decode(picture.map), np.int8).reshape(weights.shape)
    error = np.abs(levels * picture.reach / 127 - weights * lsb).max()
    assert error <= picture.reach / 254 + 1e-12


def test_weights_of_nothing_have_a_map():
    (picture,) = Painter(Config()).paint([TileState(np.zeros((2, 3), np.int32), (0, 0, 0))])
    assert picture.counts == [6]
    assert base64.b64decode(picture.map) == bytes(6)
    assert picture.reach > 0

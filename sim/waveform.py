"""The waveform of a mini-batch: what every register of the gateware does while it trains."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ohmgrid.config import Config
from ohmgrid.net import Net
from ohmgrid.sim.rtl import RtlCore
from ohmgrid.storage.files import write_whole
from ohmgrid.tile import TileState

__all__ = ["write_waveform"]


def write_waveform(
    path: Path,
    config: Config,
    net: Net,
    states: Sequence[TileState],
    examples: tuple[np.ndarray, np.ndarray],
    lr: float,
) -> int:
    """Write a VCD file of one mini-batch in the gateware; return its clock cycles.

    Parameters
    ----------
    path : Path
        The file is there whole or not at all.
    config : Config
    net : Net
    states : sequence of TileState
        Of the layers, before the mini-batch.
    examples : (pixels, labels)
        All of the mini-batch; see `ohmgrid.core.Core.train`.
    lr : float
    """
    pixels, labels = examples
    core = RtlCore(config, net)
    try:
        core.load(states)
        # Tables, registers and states are there: the file begins with the examples.
        core.load_training(lr, len(labels))

        def write(file) -> None:
            with core.gateware.instance.waveform(file):
                core.train(pixels, labels, lr, len(labels))

        write_whole(path, write)
        return core.cycles
    finally:
        core.close()

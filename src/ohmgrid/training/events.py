"""A run as event files for TensorBoard: accuracies, loss, and how weights are distributed."""

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from ohmgrid.doors.checks import OhmgridError
from ohmgrid.training.distributions import Bins

__all__ = ["Events", "check_events"]


def check_events() -> None:
    """Raise `OhmgridError` unless event files can be written."""
    if find_spec("tensorboardX") is None:
        raise OhmgridError(
            "--tensorboard needs tensorboardX; install it: pip install 'ohmgrid[tensorboard]'"
        )


class Events:
    """Writes a new event file; the step is the epoch.

    Parameters
    ----------
    folder : Path
        For TensorBoard's ``--logdir``; what is there stays.
    bins : Bins
        Of the histograms.
    written : int
        Rows of the history that an earlier part of the run has written.
    """

    def __init__(self, folder: Path, bins: Bins, written: int) -> None:
        # Its import takes a while: only a run that asks for it pays.
        from tensorboardX import SummaryWriter

        self._writer, self._written = SummaryWriter(logdir=str(folder)), written
        self._edges = np.linspace(-bins.full, bins.full, bins.number + 1)

    def show(self, history: Sequence[Mapping[str, Any]]) -> None:
        """Write the rows of a session's history that are new."""
        for row in history[self._written :]:
            epoch = row["epoch"]
            for tag, name in (
                ("accuracy/test", "test_accuracy"),
                ("accuracy/train", "train_accuracy"),
                ("loss/train", "train_loss"),
            ):
                if row[name] is not None:
                    self._writer.add_scalar(tag, row[name], epoch)
            for number, layer in enumerate(row["layers"]):
                self._writer.add_scalar(f"at_bounds/layer {number}", layer["at_bounds"], epoch)
                for name, part in layer.items():
                    if name != "at_bounds":
                        self._histogram(f"{name}/layer {number}", part, epoch)
        self._written = len(history)
        self._writer.flush()

    def _histogram(self, tag: str, part: Mapping[str, Any], epoch: int) -> None:
        first, counts = part["first"], np.array(part["counts"], np.float64)
        edges = self._edges[first : first + len(counts) + 1]
        middles = (edges[:-1] + edges[1:]) / 2
        self._writer.add_histogram_raw(
            tag,
            min=edges[0],
            max=edges[-1],
            num=counts.sum(),
            sum=(counts * middles).sum(),
            sum_squares=(counts * middles * middles).sum(),
            bucket_limits=edges[1:].tolist(),
            bucket_counts=counts.tolist(),
            global_step=epoch,
        )

    def close(self) -> None:
        """Finish the file."""
        self._writer.close()

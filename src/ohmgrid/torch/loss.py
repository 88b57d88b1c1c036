"""The loss of a core: softmax with cross-entropy in integers, as ``ohmgrid train`` has it."""

from typing import Any

import numpy as np
import torch
from torch import nn

from ohmgrid.doors.checks import ConfigError, shown
from ohmgrid.model.base.arith import at_edge, shift_round
from ohmgrid.model.core.passage import Passage
from ohmgrid.model.periphery.functions import exponential, softmax_share
from ohmgrid.net import outcome_of
from ohmgrid.registers.layers import exp_tables
from ohmgrid.registers.orders import forward_scale

__all__ = ["CrossEntropyLoss"]


class _Loss(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, y: Any, target: Any, passage: Passage) -> Any:
        core = passage.core
        mantissa, shift = core.scales[forward_scale(len(core.tiles) - 1)]
        frac, labels = core.config.formats.d_frac, target.numpy()
        unit = core.tiles[-1].y_lsb
        results = np.rint(passage.y / unit).astype(np.int64)
        coarse, fine = map(np.array, exp_tables())
        errors, words = np.zeros(results.shape, np.int64), []
        for row, label, error in zip(results, labels, errors, strict=True):
            far = shift_round((row.max() - row) * mantissa, shift)
            shares = exponential(far, coarse, fine)
            share = softmax_share(shares, shares.sum(), frac)
            words.append(int(share[label]))
            share[label] -= 1 << frac
            error[:] = at_edge(share, core.top)[0]
        passage.exact = True
        ctx.errors = torch.from_numpy(errors / (1 << frac)).to(y.dtype)
        return y.new_tensor(outcome_of(core.net, frac, 0, words).loss)

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        return ctx.errors * grad, None, None


class CrossEntropyLoss(nn.Module):
    """Sum over the examples of ``-ln softmax(y)[target]``, of results that a core gives.

    Its errors are those of ``ohmgrid train --batch N``: the learning rate is that of an example.
    The model is an `AnalogSequential` on a core, with nothing behind its last layer.
    """

    def forward(self, y: Any, target: Any) -> Any:
        """Return the loss.

        Parameters
        ----------
        y : tensor, shape (examples, classes)
        target : integer tensor, shape (examples,)
        """
        passage = getattr(y, "passage", None)
        if passage is None or not passage.core.net.softmax:
            raise ConfigError(
                "loss",
                "expected the results of an AnalogSequential that runs on one core, with nothing "
                "behind its last layer, got another tensor",
            )
        rows, classes = y.shape
        if target.shape != (rows,) or target.is_floating_point():
            raise ConfigError("target", f"expected {rows} classes, got shape {tuple(target.shape)}")
        if rows and not 0 <= int(target.min()) <= int(target.max()) < classes:
            raise ConfigError("target", f"expected 0..{classes - 1}, got {shown(target.tolist())}")
        return _Loss.apply(y, target, passage)

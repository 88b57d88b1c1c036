"""Where an example of `bench/torch_examples.py` goes in `ohmgrid.torch`: kernels, and all else.

``python bench/torch_parts.py --net fc`` trains on real MNIST as `bench/torch_worker.py` does, with
a clock around each call of a kernel: microseconds of the processor for an example, forward,
backward and update; the rest is PyTorch and Python. Beside them, of ``fc``, the same examples
without PyTorch (`Core.train`), and PyTorch without arrays: the same loop around a function that
does nothing.
"""

# pyright: reportMissingImports=false, reportAttributeAccessIssue=false
# (torch is where this file runs, not where ohmgrid is checked)

import time
from collections import defaultdict

import click
import numpy as np
import torch
from torch import nn
from torch_examples import NETS
from torch_worker import build

from ohmgrid.engines import make_core
from ohmgrid.training.data import load_data


class Nothing(torch.autograd.Function):
    """Ten results, whatever comes; nothing goes back."""

    @staticmethod
    def forward(ctx, x, weight):
        return torch.zeros(len(x), 10)

    @staticmethod
    def backward(ctx, grad):
        return None, None


class Empty(nn.Module):
    """A model of one parameter and `Nothing`."""

    def __init__(self):
        super().__init__()
        self.weight, self.last = nn.Parameter(torch.zeros(())), nn.LogSoftmax(dim=1)

    def forward(self, x):
        return self.last(Nothing.apply(x, self.weight))


def clocked(call, seconds, name):
    """Return a call that adds the processor's seconds to those of its name."""

    def clocked_call(*arguments):
        start = time.thread_time()
        result = call(*arguments)
        seconds[name] += time.thread_time() - start
        return result

    return clocked_call


def train(model, optimiser, pixels, labels, order, batch):
    """Train on examples in their order; return the processor's seconds."""
    loss_of, start = nn.NLLLoss(), time.thread_time()
    for chosen in order.split(batch):
        optimiser.zero_grad()
        loss = loss_of(model(pixels[chosen]), labels[chosen])
        loss.backward()
        optimiser.step()
        loss.item()
    return time.thread_time() - start


@click.command()
@click.option("--net", type=click.Choice(list(NETS)), default="fc", help="[fc]")
@click.option("--examples", type=click.IntRange(1), default=2000, help="[2000]")
@click.option("--warm-up", type=click.IntRange(1), default=400, help="Examples before [400].")
def main(net: str, examples: int, warm_up: int) -> None:
    """Measure; see the module's text."""
    torch.set_num_threads(1)
    (batch, lr), data = NETS[net], load_data("mnist", 12, 16)
    pixels = torch.from_numpy(data.train_x.astype(np.float32) / 4096)
    pixels = pixels if net == "fc" else pixels.reshape(-1, 1, 28, 28)
    labels = torch.from_numpy(data.train_labels.astype(np.int64))
    before, order = torch.arange(warm_up), torch.arange(warm_up, warm_up + examples)
    model, optimiser = build({"net": net, "batch": batch, "lr": lr, "seed": 1}, "ohmgrid.torch")
    train(model, optimiser, pixels, labels, before, batch)
    seconds: dict[str, float] = defaultdict(float)
    for layer in {id(one.unit): one for one in model.analog_layers()}.values():
        calls = layer.unit.core.calls
        for name in ("forward", "back", "update"):
            setattr(calls, name, clocked(getattr(calls, name), seconds, name))
    parts = {"whole": train(model, optimiser, pixels, labels, order, batch)}
    parts |= seconds
    parts["rest"] = parts["whole"] - sum(seconds.values())
    if net == "fc":
        unit = model[0].unit
        core = make_core("compiled", unit.config, unit.net)
        core.initialise()
        x, words = data.train_x, data.train_labels
        core.train(x[:warm_up], words[:warm_up], lr, batch)
        start, part = time.thread_time(), slice(warm_up, warm_up + examples)
        core.train(x[part], words[part], lr, batch)
        parts["Core.train"] = time.thread_time() - start
        empty = Empty()
        nothing = torch.optim.SGD(empty.parameters(), lr=lr)
        parts["PyTorch without arrays"] = train(empty, nothing, pixels, labels, order, batch)
    for name, took in parts.items():
        click.echo(f"{name:24}{took / examples * 1e6:8.0f} us")


if __name__ == "__main__":
    main()

"""Fully connected MNIST in PyTorch, 784-256-128-10, all weights on arrays.

``python examples/pytorch/mnist.py --epochs 1`` trains with batches of one; the model is an
`AnalogSequential`, so that it runs on one core with its own activations. ``--data digits`` is quick
"""

import math

import click
import torch
from torch import nn

from ohmgrid.torch import (
    AnalogLinear,
    AnalogSequential,
    AnalogSGD,
    ConstantStepDevice,
    SingleRPUConfig,
)
from ohmgrid.training.data import load_data


def load(name: str) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return inputs and labels, for training and for the test."""
    data = load_data(name, 12, 16)
    parts = data.train_x, data.train_labels, data.test_x, data.test_labels
    x, labels, test_x, test_labels = map(torch.from_numpy, parts)
    return x.float() / 4096, labels.long(), test_x.float() / 4096, test_labels.long()


def make(inputs: int, seed: int) -> nn.Module:
    """Return the model."""
    config = SingleRPUConfig(device=ConstantStepDevice())
    return AnalogSequential(
        AnalogLinear(inputs, 256, rpu_config=config),
        nn.Sigmoid(),
        AnalogLinear(256, 128, rpu_config=config),
        nn.Sigmoid(),
        AnalogLinear(128, 10, rpu_config=config),
        nn.LogSoftmax(dim=1),
        seed=seed,
    )


def train(
    model: nn.Module, x: torch.Tensor, labels: torch.Tensor, batch: int, lr: float, order: int
) -> float:
    """Train an epoch, in an order drawn from a seed; return the mean loss."""
    optimiser, loss_of = AnalogSGD(model.parameters(), lr=lr), nn.NLLLoss()
    total = 0.0
    drawn = torch.randperm(len(x), generator=torch.Generator().manual_seed(order))
    for chosen in drawn.split(batch):
        optimiser.zero_grad()
        loss = loss_of(model(x[chosen]), labels[chosen])
        loss.backward()
        optimiser.step()
        total += loss.item()
    return total / math.ceil(len(x) / batch)


def accuracy(model: nn.Module, x: torch.Tensor, labels: torch.Tensor) -> float:
    """Return the part that is classified right."""
    with torch.no_grad():
        right = [model(one).argmax(1) for one in x.split(256)]
    return (torch.cat(right) == labels).float().mean().item()


@click.command()
@click.option("--data", default="mnist", help="As of `ohmgrid train` [mnist].")
@click.option("--epochs", type=click.IntRange(1), default=1, help="[1]")
@click.option("--batch", type=click.IntRange(1), default=1, help="[1]")
@click.option("--lr", type=float, default=0.05, help="[0.05]")
@click.option("--seed", type=click.IntRange(0), default=1, help="[1]")
def main(data: str, epochs: int, batch: int, lr: float, seed: int) -> None:
    """Train; see the module's text."""
    x, labels, test_x, test_labels = load(data)
    model = make(x.shape[1], seed)
    for epoch in range(epochs):
        loss = train(model, x, labels, batch, lr, seed + epoch)
        share = accuracy(model, test_x, test_labels)
        click.echo(f"epoch {epoch + 1}: loss {loss:.4f}, test accuracy {share:.2%}")


if __name__ == "__main__":
    main()

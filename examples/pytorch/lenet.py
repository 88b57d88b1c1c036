"""A convolutional net in PyTorch, in the manner of LeNet-5, all weights on arrays.

``python examples/pytorch/lenet.py --examples 8000`` trains MNIST in batches of 8 with AGAD, on
devices of 20 steps or so, and prints the test accuracy. Convolutions take patch after patch
through their array; activations between the layers are torch's.
"""

import click
from mnist import accuracy, load, train
from torch import nn

from ohmgrid.torch import (
    AnalogConv2d,
    AnalogLinear,
    AnalogSequential,
    SoftBoundsReferenceDevice,
    build_config,
)


def make(algorithm: str, seed: int) -> nn.Module:
    """Return the model."""
    config = build_config(algorithm, device=SoftBoundsReferenceDevice(dw_min=0.05))
    return AnalogSequential(
        AnalogConv2d(1, 16, 5, rpu_config=config),
        nn.Tanh(),
        nn.MaxPool2d(2),
        AnalogConv2d(16, 32, 5, rpu_config=config),
        nn.Tanh(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        AnalogLinear(512, 128, rpu_config=config),
        nn.Tanh(),
        AnalogLinear(128, 10, rpu_config=config),
        nn.LogSoftmax(dim=1),
        seed=seed,
    )


@click.command()
@click.option("--examples", type=click.IntRange(1), default=60000, help="For training [60000].")
@click.option("--tests", type=click.IntRange(1), default=2000, help="[2000]")
@click.option("--algorithm", default="agad", help="agad, c-ttv2, ttv2, tt, mp or sgd [agad]")
@click.option("--batch", type=click.IntRange(1), default=8, help="[8]")
@click.option("--lr", type=float, default=0.01, help="[0.01]")
@click.option("--seed", type=click.IntRange(0), default=1, help="[1]")
def main(examples: int, tests: int, algorithm: str, batch: int, lr: float, seed: int) -> None:
    """Train; see the module's text."""
    x, labels, test_x, test_labels = load("mnist")
    images, test_images = (one.reshape(-1, 1, 28, 28) for one in (x[:examples], test_x[:tests]))
    model = make(algorithm, seed)
    loss = train(model, images, labels[:examples], batch, lr, seed)
    share = accuracy(model, test_images, test_labels[:tests])
    click.echo(f"loss {loss:.4f}, test accuracy {share:.2%}")


if __name__ == "__main__":
    main()

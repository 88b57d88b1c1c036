"""A device of one's own in PyTorch: steps that shrink towards the bounds, given as a curve.

``python examples/pytorch/own_device.py`` trains digits with it; the same device in a file (what
`ohmgrid fit` writes of measured pulses, for example) is ``--device FILE.toml``.
"""

import click
from mnist import accuracy, load, train
from torch import nn

from ohmgrid.torch import AnalogLinear, AnalogSequential, PiecewiseStepDevice, SingleRPUConfig

# A step of dw_min times this, at weights spread evenly from the lower bound to the upper one.
UP = [1.4, 1.2, 1.0, 0.6, 0.1]
DOWN = [0.2, 0.7, 1.0, 1.2, 1.3]


def own() -> SingleRPUConfig:
    """Return the configuration."""
    return SingleRPUConfig(
        device=PiecewiseStepDevice(
            dw_min=0.002, w_max=1.0, w_min=-1.0, piecewise_up=UP, piecewise_down=DOWN
        )
    )


def make(config: object, seed: int) -> nn.Module:
    """Return a model for digits of 8x8 pixels."""
    return AnalogSequential(
        AnalogLinear(64, 32, rpu_config=config),
        nn.Tanh(),
        AnalogLinear(32, 10, rpu_config=config),
        nn.LogSoftmax(dim=1),
        seed=seed,
    )


@click.command()
@click.option("--device", help="Preset or file, instead of the one here.")
@click.option("--epochs", type=click.IntRange(1), default=3, help="[3]")
@click.option("--seed", type=click.IntRange(0), default=1, help="[1]")
def main(device: str | None, epochs: int, seed: int) -> None:
    """Train; see the module's text."""
    x, labels, test_x, test_labels = load("digits")
    model = make(device or own(), seed)
    for epoch in range(epochs):
        loss = train(model, x, labels, 1, 0.05, seed + epoch)
        share = accuracy(model, test_x, test_labels)
        click.echo(f"epoch {epoch + 1}: loss {loss:.4f}, test accuracy {share:.2%}")


if __name__ == "__main__":
    main()

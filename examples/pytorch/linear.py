"""One array learns to sum: the smallest model of `ohmgrid.torch`.

``python examples/pytorch/linear.py`` trains 4 inputs to 2 outputs with pulses on devices of
constant steps, and prints the loss.
"""

import click
import torch
from torch.nn.functional import mse_loss

from ohmgrid.torch import AnalogLinear, AnalogSGD, ConstantStepDevice, SingleRPUConfig

X = torch.tensor([[0.1, 0.2, 0.4, 0.3], [0.2, 0.1, 0.1, 0.3]])
Y = torch.tensor([[1.0, 0.5], [0.7, 0.3]])


def train(steps: int, seed: int, engine: str) -> list[float]:
    """Return the losses, step by step."""
    config = SingleRPUConfig(device=ConstantStepDevice())
    model = AnalogLinear(4, 2, rpu_config=config, seed=seed, engine=engine)
    optimiser = AnalogSGD(model.parameters(), lr=0.1)
    losses = []
    for _ in range(steps):
        optimiser.zero_grad()
        loss = mse_loss(model(X), Y)
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return losses


@click.command()
@click.option("--steps", type=click.IntRange(1), default=100, help="[100]")
@click.option("--seed", type=click.IntRange(0), default=1, help="[1]")
@click.option("--engine", default="compiled", help="[compiled]")
def main(steps: int, seed: int, engine: str) -> None:
    """Train; see the module's text."""
    losses = train(steps, seed, engine)
    click.echo(f"loss {losses[0]:.4f} at first, {losses[-1]:.4f} after {steps} steps")


if __name__ == "__main__":
    main()

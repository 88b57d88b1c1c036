"""The examples run, and learn."""

import importlib.util
import sys
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

pytestmark = pytest.mark.torch

EXAMPLES = Path(__file__).parents[2] / "examples" / "pytorch"


@pytest.fixture
def example(monkeypatch):
    """Return an example as a module, by its name."""
    monkeypatch.syspath_prepend(str(EXAMPLES))

    def load(name: str):
        spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    yield load
    sys.modules.pop("mnist", None)


def test_one_array_learns_to_sum(example):
    losses = example("linear").train(60, 1, "compiled")
    assert sum(losses[-10:]) < 0.5 * sum(losses[:10])
    assert losses == example("linear").train(60, 1, "model")


def test_digits_are_learned_on_an_own_device(example):
    done = CliRunner().invoke(example("own_device").main, ["--epochs", "1"])
    assert done.exit_code == 0, done.output
    assert float(done.output.split()[-1].rstrip("%")) > 80


def test_nets_for_mnist_train(example):
    mnist, lenet = example("mnist"), example("lenet")
    torch.manual_seed(0)
    x, labels = torch.rand(16, 784), torch.arange(16) % 10
    for model, images in (
        (mnist.make(784, 1), x),
        (lenet.make("agad", 1), x.reshape(-1, 1, 28, 28)),
    ):
        assert mnist.train(model, images, labels, 8, 0.05, 1) > 0
        assert 0 <= mnist.accuracy(model, images, labels) <= 1
        steps = [layer.unit.core.state()[layer.layer].steps[2] for layer in model.analog_layers()]
        assert all(step >= 16 for step in steps)
    assert mnist.make(784, 1).on_core


def test_digits_by_the_command_line(example):
    done = CliRunner().invoke(example("mnist").main, ["--data", "digits", "--lr", "0.1"])
    assert done.exit_code == 0, done.output
    assert "epoch 1: loss" in done.output

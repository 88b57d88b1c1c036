"""Which bits a torch model has: those of ``ohmgrid train``, and of the golden model."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from strategies import devices, transfers
from tile_cases import BUILDS
from torch import nn

from ohmgrid.config import Config
from ohmgrid.devices.steps import ConstantStep
from ohmgrid.doors.checks import ConfigError
from ohmgrid.engines import make_core
from ohmgrid.model.core.core import epoch_order
from ohmgrid.net import state_sha256
from ohmgrid.periphery import ConverterConfig
from ohmgrid.torch import (
    AnalogConv2d,
    AnalogLinear,
    AnalogSequential,
    AnalogSGD,
    CrossEntropyLoss,
)
from ohmgrid.training.data import load_data
from ohmgrid.training.plan import Plan
from ohmgrid.training.session import Session
from ohmgrid.training.settings import Settings

pytestmark = pytest.mark.torch

ACTIVATIONS = {"sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "relu": nn.ReLU}


@pytest.mark.parametrize(
    ("activation", "batch", "device"),
    [("sigmoid", 1, "gokmen-vlasov"), ("tanh", 3, "ecram"), ("relu", 1, "tiki-taka-idealized")],
)
def test_core_in_torch_trains_to_the_bits_of_ohmgrid_train(activation, batch, device):
    plan = Plan(layers="64-12-10", activation=activation, lr=0.1, epochs=1)
    top, tables = {"seed": 5, "batch": batch}, {"training": {"activation": activation}}
    named = AnalogLinear(1, 1, rpu_config=device).config.device
    config = Settings(top, tables, named).config()
    data = load_data("digits", config.formats.x_frac, config.formats.edge_bits)
    few = replace(
        data,
        train_x=data.train_x[:90],
        train_labels=data.train_labels[:90],
        test_x=data.test_x[:9],
        test_labels=data.test_labels[:9],
    )
    session = Session(config, plan, few, make_core("compiled", config, plan.net()))
    session.start()
    assert session.run(lambda: False, lambda progress: None, lambda row: None)

    function = ACTIVATIONS[activation]
    model = AnalogSequential(
        AnalogLinear(64, 12, rpu_config=config),
        function(),
        AnalogLinear(12, 10, rpu_config=config),
        seed=5,
    )
    assert model.on_core
    optimiser, loss = AnalogSGD(model.parameters(), lr=0.1), CrossEntropyLoss()
    x = torch.from_numpy(few.train_x / (1 << config.formats.x_frac)).float()
    labels = torch.from_numpy(few.train_labels)
    test = torch.from_numpy(few.test_x / (1 << config.formats.x_frac)).float()
    model(test)
    total = 0.0
    order = torch.from_numpy(epoch_order(5, 0, len(labels)))
    for chosen in order.split(batch):
        optimiser.zero_grad()
        found = loss(model(x[chosen]), labels[chosen])
        found.backward()
        optimiser.step()
        total += found.item()
    right = int((model(test).argmax(1).numpy() == few.test_labels).sum())
    assert state_sha256(model[0].unit.core.state()) == session.state_sha256
    assert right / len(few.test_labels) == session.history[-1]["test_accuracy"]
    assert total / len(labels) == pytest.approx(session.history[-1]["train_loss"], rel=1e-5)


@settings(max_examples=8, deadline=None)
@given(
    device=st.one_of(devices(), transfers()),
    bias=st.booleans(),
    batch=st.sampled_from([1, 4]),
    seed=st.integers(0, 2**32 - 1),
)
def test_with_floats_between_arrays_every_operation_is_the_golden_models(device, bias, batch, seed):
    lr = 30 * device.unit.granularity
    found = []
    for engine in ("model", "compiled"):
        torch.manual_seed(seed)
        rng = np.random.default_rng(seed)
        model = nn.Sequential(
            AnalogConv2d(1, 2, 3, rpu_config=Config(device=device), engine=engine, bias=bias),
            nn.Tanh(),
            nn.Flatten(),
            AnalogLinear(8, 3, rpu_config=Config(device=device), engine=engine, bias=bias),
        )
        optimiser = AnalogSGD(model.parameters(), lr=lr)
        outputs = []
        for _ in range(2):
            x = torch.from_numpy(rng.normal(0, 1, (batch, 1, 4, 4))).float().requires_grad_()
            y = model(x)
            optimiser.zero_grad()
            nn.functional.cross_entropy(y, torch.arange(batch) % 3).backward()
            try:
                optimiser.step()
            except ConfigError:  # a rate beyond what the device's registers hold
                assume(False)
            assert x.grad is not None
            outputs += [y.detach().numpy().tobytes(), x.grad.numpy().tobytes()]
        states = [state_sha256(model[place].unit.core.state()) for place in (0, 3)]
        found.append((outputs, states))
    assert found[0] == found[1]


def test_every_engine_gives_the_same_bits():
    """On one core, with its own loss and torch's, and a layer alone: the gateware's too."""
    found = []
    for engine in ("model", "compiled", "rtl"):
        torch.manual_seed(0)
        config = Config(build=BUILDS[4])
        sizes = ((5, 4), (4, 3))
        first, last = (AnalogLinear(*size, rpu_config=config, engine=engine) for size in sizes)
        model = AnalogSequential(first, nn.Sigmoid(), last, seed=1)
        assert model.on_core
        optimiser = AnalogSGD(model.parameters(), lr=0.1)
        for loss in (CrossEntropyLoss(), nn.CrossEntropyLoss()):
            optimiser.zero_grad()
            loss(model(torch.rand(2, 5)), torch.tensor([2, 1])).backward()
            optimiser.step()
        alone = AnalogLinear(5, 3, rpu_config=config, engine=engine, seed=4)
        y = alone(torch.rand(2, 5))
        found.append((state_sha256(first.unit.core.state()), y.tolist()))
        first.unit.core.close()
        alone.unit.core.close()
    assert found[1] == found[0]
    assert found[2] == found[0]


def exact(**more) -> Config:
    """Return arrays whose converters are perfect, of devices with small steps."""
    perfect = ConverterConfig(perfect=True)
    device = ConstantStep(
        dw_min=1e-4, dw_min_dtod=0.0, dw_min_std=0.0, w_max=1.0, w_max_dtod=0.0, w_min=-1.0,
        w_min_dtod=0.0, up_down_dtod=0.0,
    )  # fmt: skip
    return Config(forward=perfect, backward=perfect, device=device, **more)


@pytest.mark.parametrize("kind", ["linear", "conv"])
def test_results_and_gradients_are_torchs_within_the_formats(kind):
    """A sum of n products of values rounded to half an LSB of the edge, and of its own grid."""
    torch.manual_seed(3)
    config = exact()
    if kind == "linear":
        float_layer: nn.Module = nn.Linear(6, 4)
        analog, shape = AnalogLinear.from_digital(float_layer, config), (5, 6)
        terms, above = 7, 4
    else:
        float_layer = nn.Conv2d(2, 3, 3, stride=2, padding=1)
        analog, shape = AnalogConv2d.from_digital(float_layer, config), (2, 2, 5, 5)
        terms, above = 19, 3 * 9
    with torch.no_grad():  # the weights that the devices hold
        weight, bias = analog.get_weights()
        float_layer.weight.copy_(weight.reshape(float_layer.weight.shape))
        float_layer.bias.copy_(bias)
    x = torch.rand(shape) * 2 - 1
    one, other = x.clone().requires_grad_(), x.clone().requires_grad_()
    y, reference = analog(one), float_layer(other)
    d = torch.rand_like(reference) * 2 - 1
    y.backward(d)
    reference.backward(d)
    largest = float(weight.abs().max())
    # Half an LSB of an activation (12 fraction bits) for each term, and one of an exact sum.
    bound = terms * largest * 2**-13 + analog.unit.core.tiles[0].y_lsb
    assert (y - reference).abs().max().item() <= bound
    bound = above * largest * 2**-15 + 9 * analog.unit.core.tiles[0].z_lsb
    assert one.grad is not None
    assert other.grad is not None
    assert (one.grad - other.grad).abs().max().item() <= bound


def test_updates_follow_the_gradient():
    """Many updates of the same example add up to the gradient's step, however small the errors."""
    torch.manual_seed(1)
    layer = AnalogLinear(5, 3, rpu_config=exact(), seed=2)
    x, d = torch.rand(1, 5), (torch.rand(1, 3) - 0.5) * 1e-4
    before, _ = layer.get_weights()
    optimiser = AnalogSGD(layer.parameters(), lr=2.0)
    for _ in range(400):
        optimiser.zero_grad()
        layer(x).backward(d)
        optimiser.step()
    moved = layer.get_weights()[0] - before
    asked = -2.0 * 400 * d.T @ x
    # Pulses of 1e-4: a binomial spread of five standard deviations.
    spread = (asked.abs() * 1e-4).sqrt() * 5 + 1e-4
    assert ((moved - asked).abs() <= spread).all()
    assert (moved != 0).sum() > 10


def test_hooks_and_floats_between_layers_leave_the_core(monkeypatch):
    model = AnalogSequential(AnalogLinear(4, 3), nn.Sigmoid(), AnalogLinear(3, 2), seed=1)
    alone = AnalogSequential(AnalogLinear(4, 3), nn.Sigmoid(), AnalogLinear(3, 2), core=False)
    assert model.on_core
    assert not alone.on_core
    assert [len(one[0].unit.contexts) for one in (model, alone)] == [2, 1]
    seen = []
    model[1].register_forward_hook(lambda *parts: seen.append(parts))
    model(torch.rand(2, 4)).sum().backward()
    assert seen
    assert not model.on_core
    optimiser = AnalogSGD(model.parameters(), lr=0.1)
    optimiser.step()
    assert [state.steps for state in model[0].unit.core.state()] == [(2, 0, 2), (2, 2, 2)]


def test_modules_that_are_replaced_leave_the_core():
    model = AnalogSequential(AnalogLinear(4, 3), nn.Sigmoid(), AnalogLinear(3, 2), seed=1)
    assert model[:].on_core
    assert not model[:2].on_core
    assert model[:2](torch.rand(2, 4)).shape == (2, 3)
    model[1] = nn.Tanh()
    assert not model.on_core
    assert model(torch.rand(2, 4)).shape == (2, 2)


@pytest.mark.parametrize(
    "modules",
    [
        lambda: (AnalogLinear(4, 3), nn.Sigmoid(), AnalogLinear(3, 2, rpu_config="ecram")),
        lambda: (AnalogLinear(4, 3), nn.Tanh(), AnalogLinear(3, 3), nn.ReLU(), AnalogLinear(3, 2)),
        lambda: (AnalogLinear(4, 3), nn.Dropout(), AnalogLinear(3, 2)),
        lambda: (AnalogLinear(4, 3), nn.Sigmoid(), AnalogLinear(3, 2, bias=False)),
    ],
)  # fmt: skip
def test_what_no_core_has_runs_layer_by_layer(modules):
    model = AnalogSequential(*modules(), seed=1)
    assert not model.on_core
    assert model(torch.rand(2, 4)).shape == (2, 2)
    assert [layer.seed for layer in model.analog_layers()][:2] == [1, 2]

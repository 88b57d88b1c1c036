"""What a torch user does with a model: save, copy, move, freeze, and give it to the wrong hands."""

import copy
import io
import pickle
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim.optimizer import register_optimizer_step_pre_hook

from ohmgrid.doors.checks import ConfigError
from ohmgrid.net import state_sha256
from ohmgrid.torch import (
    AnalogConv2d,
    AnalogLinear,
    AnalogLSTMCell,
    AnalogRNN,
    AnalogSequential,
    AnalogSGD,
    AnalogVanillaRNNCell,
    CrossEntropyLoss,
    convert_to_analog,
)

pytestmark = pytest.mark.torch


def net(seed: int | None = 1, device="capacitor"):
    return AnalogSequential(
        AnalogLinear(5, 4, rpu_config=device), nn.Tanh(), AnalogLinear(4, 3, rpu_config=device),
        seed=seed,
    )  # fmt: skip


def lenet(seed=1):
    return AnalogSequential(
        AnalogConv2d(1, 2, 2, rpu_config="agad-ecram"), nn.Tanh(), nn.Flatten(),
        AnalogLinear(8, 3, rpu_config="pcm"), seed=seed,
    )  # fmt: skip


def shape(model):
    return (2, 5) if isinstance(model[0], AnalogLinear) else (2, 1, 3, 3)


def train(model, steps, optimiser=None, first=0):
    optimiser = optimiser or AnalogSGD(model.parameters(), lr=0.2)
    for n in range(first, first + steps):
        torch.manual_seed(n)
        x = torch.rand(shape(model))
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(x), torch.tensor([n % 3, 1])).backward()
        optimiser.step()
    return optimiser


def digest(model):
    units = {id(layer.unit): layer.unit for layer in model.analog_layers()}
    return [state_sha256(unit.core.state()) for unit in units.values()]


@pytest.mark.parametrize("make", [net, lenet])
def test_saved_and_loaded_run_goes_on_as_if_nothing_had_been(make):
    whole, part, other = make(), make(), make()
    train(whole, 6)
    train(part, 3)
    file = io.BytesIO()
    torch.save(part.state_dict(), file)
    file.seek(0)
    other.load_state_dict(torch.load(file))  # safely: weights only
    train(other, 3, first=3)
    assert digest(other) == digest(whole)
    assert digest(part) != digest(whole)


def test_state_of_another_model_is_refused_by_the_field_that_differs():
    state = net().state_dict()
    for other, text in (
        (net(seed=2), "seed: expected 2, got a state with 1"),
        (net(device="ecram"), r"device\.dw_min: expected 0\.002, got a state with 0\.005"),
    ):
        with pytest.raises(ConfigError, match=text):
            other.load_state_dict(state)
    layer = AnalogLinear(5, 4, rpu_config="capacitor", seed=1)
    layer.load_state_dict(net()[0].state_dict())
    with pytest.raises(ConfigError, match="array: expected the state of array 0, got that of 1"):
        AnalogLinear(4, 3, rpu_config="capacitor", seed=1).load_state_dict(net()[2].state_dict())


@pytest.mark.parametrize("make", [net, lenet])
@pytest.mark.parametrize("way", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_copy_goes_on_by_itself_with_the_same_bits(make, way):
    model = make()
    train(model, 2)
    twin = way(model)
    assert digest(twin) == digest(model)
    contexts = [layer.analog_ctx for layer in twin.analog_layers()]
    assert all(a is b for a, b in zip(contexts, list(twin.parameters()), strict=True))
    before = digest(model)
    train(twin, 2, first=2)
    assert digest(model) == before
    train(model, 2, first=2)
    assert digest(twin) == digest(model)


def test_layer_alone_and_unused_model_are_copied_too():
    layer = AnalogLinear(3, 2, seed=4)
    twin = copy.deepcopy(layer)
    x = torch.rand(2, 3)
    assert torch.equal(layer(x), twin(x))
    assert layer.unit is not twin.unit
    model = net()
    assert digest(copy.deepcopy(model)) == digest(model)


def test_cpu_and_dtypes_are_as_in_torch_and_cuda_is_one_line():
    model = nn.Sequential(net(), nn.Linear(3, 3))
    assert model.to("cpu") is model
    model.double()
    assert model(torch.rand(2, 5, dtype=torch.float64)).dtype == torch.float64
    for move in (lambda: model.to("cuda"), model.cuda, lambda: model.to("meta")):
        with pytest.raises(ConfigError, match="device: expected cpu: analog layers have engines"):
            move()


@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.Adam])
def test_other_optimisers_are_refused_at_their_first_step(kind):
    model = net()
    optimiser = kind(model.parameters(), lr=0.1)
    model(torch.rand(2, 5)).sum().backward()
    text = f"expected ohmgrid.torch.AnalogSGD for arrays, got {kind.__name__}"
    with pytest.raises(ConfigError, match=text):
        optimiser.step()
    kind(nn.Linear(2, 2).parameters(), lr=0.1).step()  # others' models are none of its business


def test_digital_parameters_are_trained_beside_arrays():
    model = nn.Sequential(AnalogLinear(4, 3, seed=1), nn.Linear(3, 2))
    with pytest.warns(UserWarning, match="momentum: of digital parameters alone"):
        optimiser = AnalogSGD(model.parameters(), lr=0.1, momentum=0.9)
    before = model[1].weight.detach().clone(), model[0].get_weights()[0]
    model(torch.rand(2, 4)).square().sum().backward()
    optimiser.step()
    assert not torch.equal(before[0], model[1].weight)
    assert not torch.equal(before[1], model[0].get_weights()[0])
    with pytest.raises(ConfigError, match="maximize: expected false"):
        AnalogSGD(model.parameters(), lr=0.1, maximize=True)


def test_gradients_are_counted_cleared_and_used_once():
    model, x = net(), torch.rand(2, 5)
    optimiser = AnalogSGD(model.parameters(), lr=0.2)

    def steps():
        return model[0].unit.core.state()[0].steps[2]

    model(x).sum().backward()
    model.zero_grad()
    optimiser.step()
    assert steps() == 0
    model(x).sum().backward()
    y = model(x)
    y.sum().backward()
    optimiser.step()
    assert steps() == 4
    optimiser.step()
    assert steps() == 4
    with torch.no_grad():
        model(x)
    optimiser.step()
    assert steps() == 4
    for group in optimiser.param_groups:
        group["lr"] = 0.0
    model(x).sum().backward()
    optimiser.step()
    assert steps() == 4
    optimiser.param_groups[0]["lr"] = -1.0
    with pytest.raises(ConfigError, match="lr: expected a number >= 0, got -1"):
        optimiser.step()


def test_gradient_of_an_array_is_a_number_that_can_be_changed_in_place():
    model, x = net(), torch.rand(2, 5)
    optimiser = AnalogSGD(model.parameters(), lr=0.2)
    contexts: list[Any] = [layer.analog_ctx for layer in model.analog_layers()]

    def counts():
        return [context.grad for context in contexts]

    model(x).sum().backward()
    assert counts() == [1, 1]
    model(x).sum().backward()
    assert counts() == [2, 2]
    contexts[0].grad.zero_()
    contexts[1].grad = None
    model(x).sum().backward()
    assert counts() == [1, 1]
    contexts[0].grad.zero_()
    optimiser.step()
    assert [state.steps[2] for state in model[0].unit.core.state()] == [0, 2]
    assert counts() == [None, None]


def test_who_watches_steps_sees_those_of_arrays():
    model, seen = net(), []
    optimiser = AnalogSGD(model.parameters(), lr=0.2)
    train(model, 1, optimiser)
    own = optimiser.register_step_post_hook(lambda *rest: seen.append("own"))
    train(model, 1, optimiser)
    own.remove()
    everyone = register_optimizer_step_pre_hook(lambda *rest: seen.append("everyone"))
    train(model, 1, optimiser)
    everyone.remove()
    with torch.profiler.profile() as profile:
        train(model, 1, optimiser)
    assert seen == ["own", "everyone"]
    assert "Optimizer.step#AnalogSGD.step" in {event.key for event in profile.key_averages()}
    assert [state.steps[2] for state in model[0].unit.core.state()] == [8, 8]


def test_frozen_layers_do_not_learn():
    model = net()
    model[0].analog_ctx.requires_grad_(False)
    before = model[0].get_weights()[0]
    train(model, 3)
    steps = [state.steps[2] for state in model[0].unit.core.state()]
    assert steps == [0, 6]
    assert torch.equal(before, model[0].get_weights()[0])
    last = AnalogSGD(model[2].parameters(), lr=0.1)
    model[0].analog_ctx.requires_grad_(True)
    train(model, 1, last)
    assert [state.steps[2] for state in model[0].unit.core.state()] == [0, 8]


def test_weights_in_and_out():
    layer = AnalogLinear(3, 2, rpu_config="idealized", seed=1)
    weight, bias = torch.tensor([[0.5, -0.25, 0.125], [0.0, 0.5, 9.0]]), torch.tensor([0.25, -0.5])
    assert layer.set_weights(weight, bias) == 1
    held = layer.get_weights()
    assert torch.equal(held[0][0], weight[0])
    assert torch.equal(held[1], bias)
    layer.set_weights(weight)
    assert torch.equal(layer.get_weights()[1], bias)
    with pytest.raises(ValueError, match=r"weight: expected shape \(2, 3\), got \(2,\)"):
        layer.set_weights(bias)
    with pytest.raises(ValueError, match=r"bias: expected shape \(2,\)"):
        AnalogLinear(3, 2, bias=False).set_weights(weight, bias)
    model = AnalogSequential(layer, nn.Sigmoid(), AnalogLinear(2, 2, rpu_config="idealized"))
    assert model.on_core
    assert torch.equal(model[0].get_weights()[0][0], weight[0])


def test_sequence_of_torch_seed_repeats_a_model():
    outputs = []
    for _ in range(2):
        torch.manual_seed(7)
        outputs.append(net(seed=None)(torch.ones(1, 5)))
    assert torch.equal(*outputs)
    first, second = AnalogLinear(3, 2), AnalogLinear(3, 2)
    assert not torch.equal(first.get_weights()[0], second.get_weights()[0])


def test_converted_model_keeps_its_weights():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 2)
    )
    analog = convert_to_analog(model, "idealized", seed=3, exclude_modules=["5"])
    assert [type(one).__name__ for one in analog] == [
        "AnalogConv2d", "ReLU", "Flatten", "AnalogLinear", "ReLU", "Linear",
    ]  # fmt: skip
    assert (analog[3].get_weights()[0] - model[3].weight).abs().max() < 1e-4
    assert type(model[0]) is nn.Conv2d
    whole = convert_to_analog(nn.Sequential(nn.Linear(3, 2), nn.Tanh(), nn.Linear(2, 2)), seed=3)
    assert whole.on_core
    assert type(convert_to_analog(nn.Linear(3, 2))) is AnalogLinear
    with pytest.raises(ConfigError, match="exclude_modules: expected a module's name, got 'x'"):
        convert_to_analog(model, exclude_modules=["x"])
    with pytest.raises(ConfigError, match="module: expected a torch"):
        convert_to_analog(3)


@pytest.mark.parametrize("cell", [AnalogLSTMCell, AnalogVanillaRNNCell])
def test_recurrent_net_learns_to_remember(cell):
    torch.manual_seed(0)
    model = AnalogRNN(cell, 1, 8, rpu_config="idealized", seed=1, batch_first=True)
    head = AnalogLinear(8, 1, rpu_config="idealized", seed=9)
    optimiser = AnalogSGD([*model.parameters(), *head.parameters()], lr=0.3)
    x = torch.tensor([[[1.0], [0.0], [0.0]], [[-1.0], [0.0], [0.0]]])
    losses, states = [], []
    for _ in range(100):
        optimiser.zero_grad()
        y, states = model(x)
        loss = (head(y[:, -1]) - x[:, 0]).square().mean()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert len(states) == 1
    assert sum(losses[-10:]) < 0.5 * sum(losses[:10])
    with pytest.raises(ConfigError, match="cell: expected a class of cells"):
        AnalogRNN(nn.LSTMCell, 1, 8)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: AnalogLinear(3, 0), "outputs: expected 1"),
        (lambda: AnalogLinear(3, 2, rpu_config="nothing"), "device: expected one of"),
        (lambda: AnalogLinear(3, 2, rpu_config=3.5), "rpu_config: expected a preset's name"),
        (lambda: AnalogLinear(3, 2, engine="gpu"), "engine: expected one of"),
        (lambda: AnalogLinear(3, 2, seed=-1), "seed: expected 0"),
        (lambda: AnalogConv2d(1, 2, 3, groups=2), "groups: expected 1, got 2"),
        (lambda: AnalogConv2d(1, 2, (3, 3, 3)), "kernel_size: expected an integer or two"),
        (lambda: AnalogLinear(3, 2)(torch.rand(2, 4)), "x: expected 3 inputs"),
        (lambda: net()(torch.rand(2, 4)), "x: expected 5 inputs"),
        (lambda: AnalogConv2d(1, 2, 3)(torch.rand(2, 4)), "x: expected shape"),
        (lambda: AnalogLinear(3, 2)(torch.full((1, 3), torch.nan)), "x: expected finite numbers"),
        (
            lambda: CrossEntropyLoss()(torch.rand(2, 3), torch.tensor([0, 1])),
            "loss: expected the results of an AnalogSequential",
        ),
        (lambda: CrossEntropyLoss()(net()(torch.rand(2, 5)), torch.tensor([0, 3])), "target: "),
    ],
)
def test_misuse_is_one_line(call, text):
    with pytest.raises(ValueError, match=text) as caught:
        call()
    assert "\n" not in str(caught.value)

"""Configurations by the names of the reference simulator."""

import pickle
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import pytest
import torch

import ohmgrid.torch as analog
from ohmgrid.devices.presets import NAMED
from ohmgrid.devices.steps import SoftBounds, SoftBoundsReference
from ohmgrid.doors.checks import ConfigError
from ohmgrid.imports.config_presets import CONFIG_PRESETS

pytestmark = pytest.mark.torch


@pytest.mark.parametrize(("there", "here"), CONFIG_PRESETS.items())
def test_every_preset_has_its_name(there, here):
    layer = analog.AnalogLinear(3, 2, rpu_config=getattr(analog, there)())
    assert layer.config.device == NAMED[here]
    named = analog.AnalogLinear(3, 2, rpu_config=here)
    assert layer.config.replace(seed=0) == named.config.replace(seed=0)
    assert layer.bias is None


def test_parts_are_changed_in_place():
    config = analog.ReRamESPreset()
    config.forward.out_noise = 0.25
    config.update.desired_bl = 7
    made = analog.AnalogLinear(3, 2, rpu_config=config).config
    assert (made.forward.out_noise, made.pulses.desired_bl) == (0.25, 7)
    assert made.forward.out_bound == 20.0
    assert pickle.loads(pickle.dumps(config)) == config
    with pytest.raises(AttributeError, match=r"IOParameters\.inp_res is not given"):
        print(analog.IOParameters().inp_res)


def test_own_device_and_enumerations():
    config = analog.SingleRPUConfig(
        device=analog.SoftBoundsDevice(dw_min=0.002, w_max=0.8),
        forward=analog.IOParameters(noise_management=analog.NoiseManagementType.NONE),
        update=analog.UpdateParameters(pulse_type=analog.PulseType.MEAN_COUNT),
    )
    made = analog.AnalogLinear(3, 2, rpu_config=config).config
    assert made.device == SoftBounds(dw_min=0.002, w_max=0.8)
    assert (made.forward.noise_management, made.pulses.pulse_type) == ("none", "mean-count")


@pytest.mark.parametrize(
    ("algorithm", "kind"),
    [
        ("sgd", "SoftBoundsReference"),
        ("ttv1", "Transfer"),
        ("ttv2", "ChoppedTransfer"),
        ("c-ttv2", "ChoppedTransfer"),
        ("agad", "DynamicTransfer"),
        ("mp", "MixedPrecision"),
    ],
)
def test_algorithms_are_built(algorithm, kind):
    config = analog.build_config(algorithm, analog.SoftBoundsReferenceDevice(dw_min=0.05))
    device = analog.AnalogLinear(3, 2, rpu_config=config).config.device
    assert device.kind == kind
    assert device.unit == SoftBoundsReference(dw_min=0.05)


def test_digital_bias_is_a_parameter_of_torchs():
    config = analog.SingleRPUConfig(mapping=analog.MappingParameter(digital_bias=True))
    layer = analog.AnalogLinear(3, 2, rpu_config=config, seed=1)
    assert layer.bias is not None
    assert layer.unit.core.tiles[0].cols == 3
    layer.set_weights(torch.zeros(2, 3), torch.tensor([0.5, -0.5]))
    assert layer(torch.zeros(1, 3)).tolist() == [[0.5, -0.5]]
    optimiser = analog.AnalogSGD(layer.parameters(), lr=0.1)
    layer(torch.rand(1, 3)).sum().backward()
    optimiser.step()
    assert layer.bias.tolist() == pytest.approx([0.4, -0.6])


class NoiseManagementType(Enum):
    ABS_MAX = 1


@dataclass
class IOParameters:
    out_noise: float = 0.5
    mv_type: Any = None
    noise_management: Any = None


@dataclass
class ConstantStepDevice:
    dw_min: float = 0.01


@dataclass
class SingleRPUConfig:
    device: Any = field(default_factory=ConstantStepDevice)
    forward: Any = field(default_factory=IOParameters)


@pytest.fixture
def theirs(monkeypatch):
    """Return a class of the reference simulator, as far as anybody here can tell."""
    for cls in (IOParameters, ConstantStepDevice, SingleRPUConfig):
        monkeypatch.setattr(cls, "__module__", "aihwkit.simulator.configs")
    return SingleRPUConfig


def test_object_of_the_reference_simulator_is_taken(theirs):
    config = theirs()
    config.forward.noise_management = NoiseManagementType.ABS_MAX
    config.forward.mv_type = "AnalogMVType.ONE_PASS"
    layer = analog.AnalogLinear(3, 2, rpu_config=config)
    assert layer.config.device.unit.dw_min == 0.01
    assert layer.config.forward.out_noise == 0.5
    assert layer.bias is not None  # there it is digital by default


def test_field_without_counterpart_raises_with_its_name(theirs):
    config = theirs()
    config.forward.mv_type = "AnalogMVType.POS_NEG_SEPARATE"
    with pytest.raises(ConfigError, match=r"forward\.mv_type: expected what has a counterpart"):
        analog.AnalogLinear(3, 2, rpu_config=config)
    wrong = analog.SingleRPUConfig(device=analog.ConstantStepDevice(dw_mim=1))
    with pytest.raises(ConfigError, match=r"device\.dw_mim: unknown keyword of Constant"):
        analog.AnalogLinear(3, 2, rpu_config=wrong)
    with pytest.raises(ConfigError, match="rpu_config: expected a preset's name"):
        analog.AnalogLinear(3, 2, rpu_config=object())


def test_there_is_no_graphics_card():
    assert not analog.cuda.is_compiled()

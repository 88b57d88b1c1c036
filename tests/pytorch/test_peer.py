"""Objects of the reference simulator itself, where it is installed."""

import pytest
from aihwkit.simulator import configs, presets

from ohmgrid.devices.presets import NAMED
from ohmgrid.imports.config_presets import CONFIG_PRESETS
from ohmgrid.imports.objects import described
from ohmgrid.imports.printed import parse_call
from ohmgrid.imports.rpu_config import config_from_call
from ohmgrid.torch import AnalogLinear, SoftBoundsReferenceDevice, build_config

pytestmark = pytest.mark.torch


@pytest.mark.parametrize(("there", "here"), CONFIG_PRESETS.items())
def test_every_preset_is_taken(there, here):
    config = getattr(presets, there)()
    printed = config_from_call(parse_call(repr(config)))
    assert config_from_call(described(config)) == printed
    layer = AnalogLinear(3, 2, rpu_config=config)
    assert type(layer.config.device) is type(NAMED[here])
    named = AnalogLinear(3, 2, rpu_config=here).config
    assert layer.config.pulses == named.pulses
    assert (layer.config.forward, layer.config.backward) == (named.forward, named.backward)
    assert layer.bias is not None


@pytest.mark.parametrize("algorithm", ["sgd", "tt", "ttv2", "c-ttv2", "agad", "mp"])
def test_built_configurations_are_theirs(algorithm):
    theirs = configs.build_config(algorithm, device=configs.SoftBoundsReferenceDevice(dw_min=0.05))
    ours = build_config(algorithm, device=SoftBoundsReferenceDevice(dw_min=0.05))
    both = [AnalogLinear(3, 2, rpu_config=config, seed=1).config for config in (theirs, ours)]
    assert both[0] == both[1]

"""Configuration: there and back through TOML, and the line each wrong setting gets."""

from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import devices

from ohmgrid.config import BuildConfig, Config, FormatConfig, LayoutConfig
from ohmgrid.devices.presets import PRESETS, device_to_dict, preset
from ohmgrid.devices.steps import ConstantStep, LinearStep
from ohmgrid.doors.checks import ConfigError
from ohmgrid.periphery import PULSE_TYPES, W_NOISE_TYPES, ConverterConfig, PulseConfig
from ohmgrid.registers.build_check import check_build
from ohmgrid.training.settings import (
    config_to_toml,
    device_from_dict,
    load_settings,
    parse_settings,
)

EXAMPLES = Path(__file__).parents[1] / "boards" / "settings"


@st.composite
def configs(draw) -> Config:
    """Any valid configuration."""

    def converter(bound_management):
        bound = draw(st.floats(0.01, 1000))
        return ConverterConfig(
            perfect=draw(st.booleans()),
            dac_bits=draw(st.integers(2, 8)),
            adc_bits=draw(st.integers(2, 12)),
            out_bound=bound,
            out_noise=draw(st.floats(0, bound)),
            noise_management=draw(st.sampled_from(["abs-max", "none"])),
            bound_management=bound_management,
            max_passes=draw(st.integers(1, 8)),
            inp_noise=draw(st.floats(0, 0.9)),
            inp_asymmetry=draw(st.floats(-1, 1)),
            inp_sto_round=draw(st.booleans()),
            ir_drop=draw(st.floats(0, 10)),
            ir_drop_g_ratio=draw(st.floats(1, 1e12)),
            w_noise=draw(st.floats(0, 0.9)),
            w_noise_type=draw(st.sampled_from(W_NOISE_TYPES)),
            out_asymmetry=draw(st.floats(-1, 1)),
            out_noise_std=draw(st.floats(0, 0.9)),
            out_sto_round=draw(st.booleans()),
        )

    edge = draw(st.integers(9, 16))
    return Config(
        seed=draw(st.integers(0, 2**64 - 1)),
        formats=FormatConfig(
            draw(st.integers(12, 18)),
            edge,
            draw(st.integers(8, edge - 1)),
            draw(st.integers(4, edge - 1)),
            1 << draw(st.integers(0, 8)),
        ),
        build=BuildConfig(
            lanes=draw(st.integers(1, 1024)),
            share=draw(st.integers(1, 64)),
            multipliers=draw(st.integers(0, 8)),
            words=draw(st.integers(1, 1 << 20)),
            inputs=draw(st.integers(1, 65536)),
            outputs=draw(st.integers(1, 65536)),
            train_groups=draw(st.integers(1, 8)),
            arrays=draw(st.integers(1, 24)),
            power=draw(st.booleans()),
            write_noise=draw(st.booleans()),
            references=draw(st.booleans()),
        ),
        layout=LayoutConfig(draw(st.just("auto") | st.lists(st.integers(0, 255)).map(tuple))),
        forward=converter(draw(st.sampled_from(["iterative", "none"]))),
        backward=converter("none"),
        pulses=PulseConfig(
            draw(st.sampled_from(PULSE_TYPES)),
            draw(st.integers(1, 127)),
            *(draw(st.booleans()) for _ in range(3)),
        ),
        device=draw(devices()),
    )


@given(configs())
def test_toml_there_and_back_changes_nothing(config):
    assert parse_settings(config_to_toml(config)).config() == config


def test_keys_left_out_keep_their_defaults():
    config = parse_settings('seed = 7\n[build]\nlanes = 3\n[device]\npreset = "ecram"\n').config()
    assert config == Config(seed=7, build=BuildConfig(lanes=3), device=preset("ecram"))
    assert parse_settings("").config() == Config()


def test_a_preset_comes_with_its_converters_and_a_class_with_the_plain_ones():
    assert (Config().forward.out_bound, Config().backward.out_noise) == (20.0, 0.1)
    assert parse_settings('[device]\npreset = "ecram"\n').config().forward == Config().forward
    plain = parse_settings('[device]\nclass = "ConstantStep"\n').config()
    assert plain.forward == ConverterConfig(bound_management="iterative")
    assert plain.backward == ConverterConfig()
    mixed = parse_settings('[forward]\ndac_bits = 5\n[device]\nclass = "ConstantStep"\n').config()
    assert mixed.forward == ConverterConfig(dac_bits=5, bound_management="iterative")


def test_a_preset_with_one_parameter_replaced():
    device = device_from_dict({"preset": "gokmen-vlasov", "dw_min": 0.002})
    assert device == ConstantStep(dw_min=0.002, w_max=1.0, w_min=-1.0)


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_survives_its_dictionary(name):
    assert device_from_dict(device_to_dict(preset(name))) == preset(name)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("seed = ", "configuration: not valid TOML"),
        ("sed = 1", "configuration: unknown key 'sed'; expected seed, batch, device, formats"),
        ("seed = -1", "seed: expected 0..18446744073709551615, got -1"),
        ("seed = 1.5", "seed: expected an integer, got 1.5"),
        ("seed = true", "seed: expected an integer, got True"),
        ("build = 3", r"build: expected a table \[build\], got 3"),
        ("device = 3", r"device: expected a table \[device\], got 3"),
        ("[build]\nlane = 4", r"build: unknown key 'lane'; expected lanes, share"),
        ("[build]\nlanes = 0", r"build\.lanes: expected 1..1024, got 0"),
        ("[build]\nlanes = '4'", "build.lanes: expected an integer, got '4'"),
        ("[build]\nshare = 65", r"build\.share: expected 1..64, got 65"),
        ("[build]\nwords = 0", r"build\.words: expected 1..16777216"),
        ("[build]\ninputs = 0", r"build\.inputs: expected 1..65536"),
        ("[build]\noutputs = 70000", r"build\.outputs: expected 1..65536"),
        ("[layout]\nturned = 3", r"layout\.turned: expected"),
        ("[layout]\nturned = [-1]", r"layout\.turned: expected"),
        ("[layout]\nturned = 'all'", r"layout\.turned: expected"),
        ("[build]\ntrain_groups = 9", r"build\.train_groups: expected 1..8, got 9"),
        ("[build]\narrays = 25", r"build\.arrays: expected 1..24, got 25"),
        ("[formats]\nweight_bits = 19", "weight_bits: expected 12..18, got 19"),
        ("[formats]\nedge_bits = 17", "edge_bits: expected 9..16, got 17"),
        ("[formats]\nx_frac = 16", "x_frac: expected 8..15, got 16"),
        ("[formats]\nd_frac = 3", "d_frac: expected 4..15, got 3"),
        ("[forward]\ndac_bits = 9", "dac_bits: expected 2..8, got 9"),
        ("[forward]\nadc_bits = 13", "adc_bits: expected 2..12, got 13"),
        ("[forward]\nout_bound = nan", "out_bound: expected a finite number .*got nan"),
        ("[forward]\nout_bound = inf", "out_bound: expected a finite number .*got inf"),
        ("[forward]\nout_bound = 0", "out_bound: expected 0.01..1000, got 0"),
        ("[forward]\nout_noise = -1", "out_noise: expected 0..20, got -1"),
        ("[forward]\nnoise_management = 'max'", "expected one of abs-max, none, got 'max'"),
        ("[forward]\nbound_management = 1", "forward.bound_management: expected a text, got 1"),
        ("[forward]\nmax_passes = 0", "max_passes: expected 1..8, got 0"),
        ("[backward]\nbound_management = 'iterative'", "backward.bound_management: expected none"),
        ("[pulses]\npulse_type = 'x'", "pulse_type: expected one of stochastic-compressed"),
        ("[pulses]\ndesired_bl = 128", "desired_bl: expected 1..127, got 128"),
        ("[pulses]\nfixed_bl = 1", "fixed_bl: expected true or false, got 1"),
        (
            "[pulses]\nupdate_management = 'no'",
            "update_management: expected true or false, got 'no'",
        ),
        ("[device]\npreset = 'pcm2'", "device.preset: expected one of idealized, .*got 'pcm2'"),
        ("[device]\nclass = 'Foo'", "device.class: expected one of ConstantStep, .*got 'Foo'"),
        ("[device]\ndw_min = 0.1", "device.class: expected one of .*got None"),
        ("[device]\nclass = 'ConstantStep'\ngamma_up = 1", "device: unknown key 'gamma_up'"),
        ("[device]\nclass = 'ConstantStep'\ndw_min = 0", "dw_min: expected 1e-06..2, got 0"),
        (
            "[device]\nclass = 'ConstantStep'\ndw_min = 'a'",
            "device.dw_min: expected a number, got 'a'",
        ),
        ("[device]\nclass = 'ConstantStep'\ndw_min_dtod = 2", "dw_min_dtod: expected 0..1, got 2"),
        ("[device]\nclass = 'ConstantStep'\ndw_min_std = 9", "dw_min_std: expected 0..7.9, got 9"),
        ("[device]\nclass = 'ConstantStep'\nup_down = 1", "up_down: expected -0.99..0.99, got 1"),
        ("[device]\nclass = 'ConstantStep'\nw_max = -1", "w_max: expected 0..8, got -1"),
        ("[device]\nclass = 'ConstantStep'\nw_min = 1", "w_min: expected -8..0, got 1"),
        ("[device]\nclass = 'ConstantStep'\nw_min = 0\nw_max = 0", "w_max - w_min: expected > 0"),
        ("[device]\nclass = 'LinearStep'\ngamma_up = 2", "gamma_up: expected -1.9..1.9, got 2"),
        ("[device]\nclass = 'LinearStep'\ngamma_up_dtod = 1", "gamma_up_dtod: expected 0..0.5"),
        ("[device]\nclass = 'LinearStep'\nmult_noise = 1", "mult_noise: expected true or false"),
        ("[device]\nclass = 'SoftBounds'\nmult_noise = 0", "mult_noise: expected true or false"),
        ("batch = 0", "batch: expected 1..65536, got 0"),
        ("[formats]\ncurve_segments = 3", "curve_segments: expected a power of two, got 3"),
        ("[device]\nclass = 'PowStep'\npow_gamma = 4", "pow_gamma: expected 0..3.5, got 4"),
        ("[device]\nclass = 'ExpStep'\nA_up = nan", "A_up: expected a finite number"),
        ("[device]\nclass = 'PiecewiseStep'\npiecewise_up = []", "piecewise_up: expected 1 to 64"),
        (
            "[device]\nclass = 'PiecewiseStep'\npiecewise_up = [1, 2]",
            "piecewise_up, piecewise_down: expected equal lengths, got 2 and 1",
        ),
        (
            "[device]\nclass = 'PowStepReference'\nwrite_noise_std = 1",
            "PowStepReference has none",
        ),
        (
            "[device]\nclass = 'ConstantStep'\nenforce_consistency = false\ndw_min_dtod = 0.6",
            "dw_min_dtod: expected",
        ),
        ("[device]\nclass = 'LinearStep'\nreverse_up = true\nmult_noise = false", "reverse_up"),
        (
            "[device]\nclass = 'OneSided'",
            r"device: expected a table \[device\.device\] with a step device in a OneSided",
        ),
        (
            "[device]\nclass = 'OneSided'\ndevice = 3",
            r"device\.device: expected a table \[device\.device\], got 3",
        ),
    ],
)
def test_a_wrong_setting_gets_one_line(text, line):
    with pytest.raises(ConfigError, match=line) as caught:
        parse_settings(text).config()
    assert "\n" not in str(caught.value)


def test_a_wrong_file_gets_a_line_with_its_name(tmp_path):
    path = tmp_path / "c.toml"
    with pytest.raises(ConfigError, match=f"{path}: cannot be read: No such file"):
        load_settings(path).config()
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match=f"{path}: cannot be read: not UTF-8 text"):
        load_settings(path).config()
    path.write_text("seed = -1")
    with pytest.raises(ConfigError, match=f"{path}: seed: expected"):
        load_settings(path).config()
    path.write_text("seed = 3")
    assert load_settings(path).config() == Config(seed=3)


@pytest.mark.parametrize("field", [f.name for f in fields(Config)])
def test_a_section_of_another_type_gets_one_line(field):
    with pytest.raises(ConfigError, match=f"{field}: expected .*got None"):
        Config().replace(**{field: None})


def test_replace_reaches_into_sections():
    config = Config().replace(build={"lanes": 5}, seed=2, device=LinearStep(gamma_up=0.5))
    assert (config.build.lanes, config.build.share, config.seed) == (5, 16, 2)
    assert config.device == LinearStep(gamma_up=0.5)


@pytest.mark.parametrize("file", sorted(EXAMPLES.glob("*.toml")), ids=lambda file: file.name)
def test_examples_can_run_the_default_device(file):
    config = parse_settings(file.read_text(encoding="utf-8")).config()
    assert config.build != BuildConfig()
    check_build(config)


def test_a_build_without_curves_has_no_powers():
    with pytest.raises(ConfigError, match="power: expected false in a build without curve"):
        BuildConfig(curve=False)
    assert not BuildConfig(curve=False, power=False).curve


def test_a_build_without_counted_trains_makes_stochastic_ones_alone():
    config = Config().replace(build={"counted_trains": False})
    check_build(config)
    line = r"build\.counted_trains: expected true for mean-count, got false"
    with pytest.raises(ConfigError, match=line):
        check_build(config.replace(pulses={"pulse_type": "mean-count"}))


def test_a_queue_is_a_power_of_two():
    with pytest.raises(ConfigError, match="queue: expected a power of two, got 12"):
        BuildConfig(queue=12)
    with pytest.raises(ConfigError, match=r"queue: expected 4\.\.1024, got 2"):
        BuildConfig(queue=2)

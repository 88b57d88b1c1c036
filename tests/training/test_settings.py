"""What was given and what was not: files, command lines, and the one laid over the other."""

from contextlib import suppress
from pathlib import Path

import pytest

from ohmgrid.commands.options import Options, choose, choose_plan
from ohmgrid.config import BuildConfig, Config
from ohmgrid.devices.presets import PRESETS, preset
from ohmgrid.devices.steps import ConstantStep, ExpStep, LinearStep
from ohmgrid.devices.table_step import TableStep
from ohmgrid.doors.checks import ConfigError, parse_float, parse_int
from ohmgrid.engines import ENGINES, make_core
from ohmgrid.net import Net
from ohmgrid.periphery import ConverterConfig
from ohmgrid.registers.build_check import check_build
from ohmgrid.training.settings import (
    Settings,
    config_to_toml,
    device_to_toml,
    load_device,
    load_settings,
    parse_settings,
)


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_settings_know_what_was_given():
    settings = parse_settings("seed = 3\n[formats]\nx_frac = 9\n[training]\nlr = 0.2\n")
    for key in ("seed", "formats.x_frac", "training.lr"):
        assert settings.gives(key)
    for key in ("batch", "formats.d_frac", "training.layers", "device", "build.lanes"):
        assert not settings.gives(key)
    assert Settings(device=preset("ecram")).gives("device")


def test_an_option_overrides_the_file_and_leaves_the_rest(tmp_path):
    path = write(
        tmp_path / "c.toml",
        "seed = 3\nbatch = 4\n[build]\nlanes = 5\nshare = 2\n[training]\nlr = 0.3\nepochs = 2\n",
    )
    chosen = choose(Options(config=path, seed=7, lanes=9, lr=0.1))
    assert (chosen.config.seed, chosen.config.batch) == (7, 4)
    assert (chosen.config.build.lanes, chosen.config.build.share) == (9, 2)
    plan, _ = choose_plan(chosen)
    assert (plan.lr, plan.epochs, plan.layers) == (0.1, 2, "64-32-10")


@pytest.mark.parametrize("name", [*PRESETS, "ecram2", "mixed-precision-pcm"])
def test_a_preset_by_name_and_by_file_is_the_same_configuration(name, tmp_path):
    path = write(tmp_path / "d.toml", device_to_toml(preset(name)))
    by_name, by_file = choose(Options(device=name)), choose(Options(device=str(path)))
    assert by_name.config == by_file.config
    assert by_file.warnings == by_name.warnings == ()


def test_a_device_of_ones_own_gets_the_plain_converters_and_a_line(tmp_path):
    path = write(tmp_path / "d.toml", "class = 'LinearStep'\n")
    chosen = choose(Options(device=str(path)))
    assert chosen.config.backward == ConverterConfig()
    (line,) = chosen.warnings
    assert line.startswith(f"{path}: no preset, so the plain converters are used")
    # As part of a configuration that has converters there is nothing to say.
    whole = write(tmp_path / "c.toml", config_to_toml(chosen.config))
    again = choose(Options(config=whole))
    assert again.config == chosen.config
    assert again.warnings == ()


def test_a_whole_configuration_as_a_device_says_what_it_does_not_use(tmp_path):
    path = write(tmp_path / "c.toml", "seed = 3\n[build]\nlanes = 2\n[device]\npreset = 'ecram'\n")
    chosen = choose(Options(device=str(path)))
    assert (chosen.config.seed, chosen.config.device) == (1, preset("ecram"))
    (line,) = chosen.warnings
    assert "only [device] is used, not seed, build" in line
    write(path, "[biuld]\nlanes = 2\n[device]\npreset = 'ecram'\n")
    with pytest.raises(ConfigError, match="configuration: unknown key 'biuld'"):
        load_device(path)


def test_a_lifetime_below_one_is_allowed_and_warned_of(tmp_path):
    path = write(tmp_path / "d.toml", "preset = 'capacitor'\nlifetime = 0.5\n")
    (line,) = choose(Options(device=str(path))).warnings
    assert line.startswith("device.lifetime: 0.5 updates, below 1")
    write(path, "preset = 'capacitor'\nlifetime = 1.0\n")
    assert choose(Options(device=str(path))).warnings == ()


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[device]\nclass = []", "device.class: expected one of ConstantStep, .* got []"),
        ("[device]\npreset = {}", "device.preset: expected one of idealized, .* got {}"),
        ("[device]\nclass = 1979-05-27", "device.class: expected one of"),
        (
            "[device]\nclass = 'ConstantStep'\ndw_min = 1" + 400 * "0",
            "dw_min: expected a num",
        ),
        (
            "[device]\nclass = 'ConstantStep'\ndw_min = 0x" + 9000 * "f",
            "device.dw_min: expected a number",
        ),
        ("[device]\nclass = 'ConstantStep'\ndw_min = true", "device.dw_min: expected a number"),
        ("[device]\npreset = 'ecram'\nclass = 'LinearStep'", "device: unknown key 'class'"),
        ("[device]\nclass = 'PiecewiseStep'\npiecewise_up = [1, 'a']", "piecewise_up[1]: expected"),
        ("[device]\nclass = 'PiecewiseStep'\npiecewise_up = 1", "piecewise_up: expected a list"),
        (
            "[device]\npreset = 'pcm'\n[device.device]\npreset = 'pcm'",
            "expected a table [device.de",
        ),
        ("[device]\npreset = 'pcm'\n[device.device]\nclass = {}", "device.device.class: expected"),
        (
            "[device]\nclass = 'VectorUnitCell'",
            "device: expected tables [[device.unit_cell_devices]] with step devices in a Vector",
        ),
        (
            "[device]\npreset = 'ecram2'\nunit_cell_devices = 3",
            "expected tables [[device.unit_cell_devices]], one a device, got 3",
        ),
        (
            "[device]\npreset = 'ecram2'\n[[device.unit_cell_devices]]\nclass = 3",
            "device.unit_cell_devices[0].class: expected one of ConstantStep",
        ),
        (
            "[device]\npreset = 'ecram2'\ngamma_vec = [1, 'a']",
            "device.gamma_vec[1]: expected a number, got 'a'",
        ),
        (
            "[device]\nclass = 'MixedPrecision'",
            "device: expected a table [device.device] with a device in a MixedPrecision",
        ),
        ("seed = 1" + 30 * "0", "seed: expected 0..18446744073709551615, got 1000"),
        ("seed = " + 5000 * "9", "configuration: not valid TOML: a number too long"),
        ("seed = " + 4000 * "[" + 4000 * "]", "configuration: not valid TOML: nested too deep"),
        ("seed = {}", "seed: expected an integer, got {}"),
        ("batch = 1.0", "batch: expected an integer, got 1.0"),
        ("training = 3", "training: expected a table [training], got 3"),
        ("[training]\nbatch = 3", "training: unknown key 'batch'; expected data, crop, layers"),
        ("[training]\nlr = '0.1'", "training.lr: expected a number, got '0.1'"),
        ("[training]\nlayers = '64-٣-10'", "training.layers: expected sizes such as 64-32-10"),
        ("[training]\nlayers = [64, 10]", "training.layers: expected a text, got [64, 10]"),
        ("[training]\ncrop = '٣x3'", "training.crop: expected HEIGHTxWIDTH"),
        ('[training]\ndata = "a\\u0000.npz"', "training.data: expected a text in one line"),
        ("[forward]\nout_bound = 1" + 400 * "0", "forward.out_bound: expected a number"),
        ("[build]\nlanes = [1]", "build.lanes: expected an integer, got [1]"),
        ('"a\\nb" = 1', r"configuration: unknown key 'a\nb'"),
    ],
)
def test_odd_content_gets_one_line_with_file_and_key(text, line, tmp_path):
    path = write(tmp_path / "c.toml", text)
    with pytest.raises(ConfigError) as caught:
        load_settings(path)
    words = str(caught.value)
    assert words.startswith(f"{path}: ")
    assert "\n" not in words
    assert len(words) < len(str(path)) + 600
    first, *rest = line.split(".* ")
    assert first in words
    assert all(part in words for part in rest)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("build", "change", "line"),
    [
        ({"time": False}, {"device": preset("capacitor")}, r"build\.time: expected true"),
        ({"time": False}, {"device": preset("pcm")}, r"build\.time: expected true"),
        ({"write_noise": False}, {"device": preset("reram-sb")}, r"build\.write_noise: expected"),
        ({"references": False}, {"device": preset("reram-array-om")}, r"build\.references: expec"),
        ({"curve": False, "power": False}, {"device": preset("ecram")}, r"build\.curve: expected"),
        ({"step_tables": False}, {"device": TableStep()}, r"build\.step_tables: expected"),
        ({"read_physics": False}, {"forward": {"ir_drop": 1.0}}, r"forward\.ir_drop: expected"),
    ],
)
def test_every_engine_refuses_what_the_build_lacks(engine, build, change, line):
    config = Config().replace(build=build, **change)
    for start in (check_build, lambda config: make_core(engine, config, Net((2, 2)))):
        with pytest.raises(ConfigError, match=line):
            start(config)


def test_extreme_devices_get_one_line_or_registers():
    for device in (
        ExpStep(gamma_up=50, a=10, b=10, A_up=-1000),
        ExpStep(gamma_down=-50, a=-10, A_down=1000),
        ConstantStep(dw_min=1e-6, w_max=8.0, w_min=-8.0),
        ConstantStep(dw_min=2.0, dw_min_std=7.9),
        LinearStep(dw_min=1e-6, gamma_up=1.9, gamma_down=1.9, lifetime=1e-300),
        LinearStep(lifetime=1e12, lifetime_dtod=1.0, diffusion=8.0),
    ):
        # Anything else than one line would be raised here.
        with suppress(ConfigError):
            check_build(Config(device=device))


@pytest.mark.parametrize("text", ["1_0", "", " 1", "1 ", "0x10", "1.", "٣", "1e3", "+-1", "9" * 41])
def test_only_decimal_digits_are_an_integer(text):
    with pytest.raises(ConfigError, match="n: expected an integer, got"):
        parse_int("n", text)


@pytest.mark.parametrize("text", ["1_0", "", " 1", "1,5", "1e", "٣.٣", "0x1p3", "1e5_0", "infinit"])
def test_only_decimal_digits_are_a_number(text):
    with pytest.raises(ConfigError, match="n: expected a number, got"):
        parse_float("n", text)


def test_numbers_that_are_numbers():
    assert [parse_int("n", text) for text in ("0", "-3", "+12")] == [0, -3, 12]
    assert [parse_float("n", text) for text in ("1", ".5", "-2.5E-3", "1.")] == [1, 0.5, -0.0025, 1]


def test_an_error_carries_name_and_problem():
    error = ConfigError("lanes", "expected 1: 2").of("build").at("c.toml")
    assert (error.name, error.problem) == ("c.toml: build.lanes", "expected 1: 2")
    assert str(error) == "c.toml: build.lanes: expected 1: 2"
    with pytest.raises(ConfigError) as caught:
        BuildConfig(lanes=0)
    assert (caught.value.name, caught.value.problem) == ("lanes", "expected 1..1024, got 0")

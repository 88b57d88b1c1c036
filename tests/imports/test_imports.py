"""Devices and configurations of the reference simulator: what is taken, and what is listed."""

import json

import pytest
from click.testing import CliRunner

from ohmgrid.cli import cli
from ohmgrid.commands.options import Options, choose
from ohmgrid.devices.cells import OneSided
from ohmgrid.devices.mixed_precision import MixedPrecision
from ohmgrid.devices.presets import NAMED, PRESETS
from ohmgrid.devices.steps import (
    ConstantStep,
    LinearStep,
    PiecewiseStep,
    SoftBounds,
    SoftBoundsPmax,
)
from ohmgrid.devices.vector_cell import ReferenceUnitCell, VectorUnitCell
from ohmgrid.doors.checks import ConfigError
from ohmgrid.imports.chosen import choose_device
from ohmgrid.imports.config_presets import CONFIG_PRESETS
from ohmgrid.imports.device_json import load_device_json
from ohmgrid.imports.printed import Call, parse_call
from ohmgrid.imports.rpu_config import load_rpu_config, load_rpu_device
from ohmgrid.training.settings import Settings

PRINTED = """SingleRPUConfig(
    device=LinearStepDevice(
        dw_min=0.002,
        gamma_up=-0.17,
        gamma_down=0.14,
        mult_noise=False
    ),
    forward=IOParameters(),
    backward=IOParameters(out_noise=0.02),
    update=UpdateParameters(desired_bl=100)
)
"""


def write(path, text):
    path.write_text(text if isinstance(text, str) else json.dumps(text))
    return path


def test_a_printed_configuration_is_the_same_device_converters_and_trains(tmp_path):
    found = load_rpu_config(write(tmp_path / "c.txt", PRINTED))
    config = found.settings.config()
    assert config.device == LinearStep(
        dw_min=0.002, gamma_up=-0.17, gamma_down=0.14, mult_noise=False
    )
    assert (config.forward.out_bound, config.forward.out_noise) == (12.0, 0.06)
    assert (config.forward.bound_management, config.forward.max_passes) == ("iterative", 5)
    assert (config.backward.bound_management, config.backward.out_noise) == ("none", 0.02)
    assert (config.pulses.desired_bl, config.pulses.update_bl_management) == (100, True)
    assert [line.partition("=")[0] for line in found.left] == [
        "device.gamma_up",
        "mapping.digital_bias",
    ]


def test_what_has_no_counterpart_is_listed(tmp_path):
    text = """UnitCellRPUConfig(
        device=ConstantStepDevice(dw_min=0.01, construction_seed=7, drift=DriftParameter(nu=0.1)),
        forward=IOParameters(out_nonlinearity=0.1, inp_res=-1, out_res=0.01,
                             noise_management=NoiseManagementType.MAX, nm_thres=0.0),
        update=UpdateParameters(desired_bl=200, um_grad_scale=2.0),
        mapping=MappingParameter(digital_bias=False, weight_scaling_omega=0.6),
        pre_post=PrePostProcessingParameter(input_range=InputRangeParameter(enable=True)),
    )"""
    found = load_rpu_config(write(tmp_path / "c.txt", text))
    config = found.settings.config()
    assert config.device == ConstantStep(dw_min=0.01)
    assert (config.forward.dac_bits, config.forward.adc_bits) == (8, 7)
    assert config.forward.noise_management == "abs-max"
    assert config.pulses.desired_bl == 127
    assert {line.partition("=")[0] for line in found.left} == {
        "device.construction_seed",
        "device.drift",
        "forward.out_nonlinearity",
        "forward.inp_res",
        "forward.max_bm_factor",
        "forward.out_res",
        "forward.noise_management",
        "update.desired_bl",
        "update.um_grad_scale",
        "mapping.weight_scaling_omega",
        "pre_post.input_range",
    }


def test_the_form_of_repr_is_read_too(tmp_path):
    text = """SingleRPUConfig(tile_class=<class 'aihwkit.simulator.tiles.analog.AnalogTile'>,
    runtime=RuntimeParameter(data_type=<RPUDataType.FLOAT: 'float'>),
    mapping=MappingParameter(digital_bias=False),
    forward=IOParameters(mv_type=<AnalogMVType.ONE_PASS: 'OnePass'>,
                         bound_management=<BoundManagementType.NONE: 'None'>),
    update=UpdateParameters(pulse_type=<PulseType.MEAN_COUNT: 'MeanCount'>),
    device=ConstantStepDevice(drift=DriftParameter(nu=0.0, t_0=1.0), count_pulses=False))"""
    found = load_rpu_config(write(tmp_path / "c.txt", text))
    config = found.settings.config()
    assert (config.pulses.pulse_type, config.forward.bound_management) == ("mean-count", "none")
    assert (config.device, found.left) == (ConstantStep(), [])


@pytest.mark.parametrize(
    ("name", "preset"),
    [
        ("GokmenVlasovPresetDevice()", "gokmen-vlasov"),
        ("EcRamPresetDevice()", "ecram"),
        ("PCMPresetDevice()", "pcm-device"),
        (
            "PCMPresetUnitCell(unit_cell_devices=[PCMPresetDevice(), PCMPresetDevice()], "
            "refresh_forward=PresetIOParameters(), refresh_update=PresetUpdateParameters())",
            "pcm",
        ),
    ],
)
def test_presets_there_are_presets_here(name, preset, tmp_path):
    path = write(tmp_path / "c.txt", f"rpu_config = SingleRPUConfig(device={name})")
    assert load_rpu_config(path).settings.device == PRESETS[preset]
    alone, unused = load_rpu_device(write(tmp_path / "d.txt", name))
    assert (alone.settings.device, unused, alone.left) == (PRESETS[preset], [], [])


def test_a_pair_of_devices(tmp_path):
    text = """OneSidedUnitCell(unit_cell_devices=[ExpStepDevice(), ExpStepDevice()],
        refresh_every=3, refresh_forward=IOParameters(out_bound=5.0, out_res=1 / (2**8 - 2)))"""
    found, _ = load_rpu_device(write(tmp_path / "d.txt", text))
    pair = found.settings.device
    assert isinstance(pair, OneSided)
    assert (pair.refresh_every, pair.refresh_out_bound, pair.refresh_adc_bits) == (3, 5.0, 8)
    unequal = "OneSidedUnitCell(unit_cell_devices=[ExpStepDevice(), ExpStepDevice(dw_min=0.5)])"
    with pytest.raises(ConfigError, match="expected two devices that are equal"):
        load_rpu_device(write(tmp_path / "d.txt", unequal))


def test_a_json_file_of_keywords(tmp_path):
    content = {"dw_min": 0.002, "gamma_up": 0.2, "mean_bound_reference": True}
    named = content | {"_metadata": {"device_type": "LinearStepDevice_with_more"}}
    device = LinearStep(dw_min=0.002, gamma_up=0.2)
    assert load_device_json(write(tmp_path / "n.json", named)).settings.device == device
    # Only LinearStep has mean_bound_reference, only PiecewiseStep nodes: no name is needed.
    assert load_device_json(write(tmp_path / "d.json", content)).settings.device == device
    nodes = {"piecewise_up": [1, 2.0], "piecewise_down": [2, 1], "apply_write_noise_on_set": True}
    found = load_device_json(write(tmp_path / "p.json", nodes))
    assert found.settings.device == PiecewiseStep(piecewise_up=(1, 2), piecewise_down=(2, 1))
    assert found.left == []
    plain = write(tmp_path / "c.json", {"dw_min": 0.002, "count_pulses": True})
    with pytest.raises(ConfigError, match="--class with one of ConstantStep, LinearStep"):
        load_device_json(plain)
    for name in ("ConstantStep", "ConstantStepDevice"):
        found = load_device_json(plain, name)
        assert found.settings.device == ConstantStep(dw_min=0.002)
        assert found.left == ["device.count_pulses=True: no counterpart"]
    derived = {"p_max": 2000, "_metadata": {"device_type": "SoftBoundsPmaxDevice"}, "w_min": None}
    found = load_device_json(write(tmp_path / "m.json", derived))
    assert found.settings.device == SoftBoundsPmax(p_max=2000)
    own = write(tmp_path / "o.json", {"class": "ConstantStep", "dw_min": 0.002})
    assert load_device_json(own).settings.device == ConstantStep(dw_min=0.002)


def test_the_list_reaches_the_user(tmp_path):
    path = write(tmp_path / "c.txt", PRINTED.replace("out_noise", "r_series=0.1, out_noise"))
    done = CliRunner().invoke(cli, ["config", "--config", str(path), "--json"])
    assert done.exit_code == 0
    assert json.loads(done.stdout)["device"]["class"] == "LinearStep"
    assert f"warning: {path}: backward.r_series=0.1: no counterpart" in done.stderr
    (line,) = [line for line in choose_device(str(path))[1] if "only the device" in line]
    assert "not forward, backward, update; --config takes all of it" in line
    assert (
        choose(Options(device=str(path))).config.device
        == choose(Options(config=path)).config.device
    )
    device = write(tmp_path / "d.json", {"dw_min": 0.1})
    shown = CliRunner().invoke(
        cli,
        ["device", str(device), "--class", "SoftBounds", "--up", "3", "--cells", "16", "--json"],
    )
    assert shown.exit_code == 0
    assert json.loads(shown.stdout)["device"] == "SoftBounds"


CELL = """UnitCellRPUConfig(
    device=VectorUnitCell(
        unit_cell_devices=[SoftBoundsDevice(w_max=0.3), ConstantStepDevice(construction_seed=5)],
        update_policy=VectorUnitCellUpdatePolicy.SINGLE_SEQUENTIAL,
        first_update_idx=1,
        gamma_vec=[0.25, 1]
    ),
    mapping=MappingParameter(digital_bias=False)
)"""


def test_cells_of_several_devices(tmp_path):
    found = load_rpu_config(write(tmp_path / "c.txt", CELL))
    units = (SoftBounds(w_max=0.3), ConstantStep())
    wanted = VectorUnitCell(units, "single-sequential", 1, (0.25, 1.0))
    assert found.settings.device == wanted
    assert found.left == ["device.construction_seed=5: no counterpart"]
    text = "ReferenceUnitCell(unit_cell_devices=[SoftBoundsDevice(w_max=0.3)])"
    alone, _ = load_rpu_device(write(tmp_path / "d.txt", text))
    assert alone.settings.device == ReferenceUnitCell((units[0], units[0]))
    text = "ReferenceUnitCell(unit_cell_devices=[SoftBoundsDevice(w_max=0.3), ConstantStepDevice()"
    alone, _ = load_rpu_device(write(tmp_path / "d.txt", text + ", ExpStepDevice()])"))
    assert alone.settings.device == ReferenceUnitCell(units)
    (line,) = alone.left
    assert line.startswith("device.unit_cell_devices=ExpStepDevice(...): two taken")


MIXED = """DigitalRankUpdateRPUConfig(
    device=MixedPrecisionCompound(
        device=OneSidedUnitCell(unit_cell_devices=[ExpStepDevice()], refresh_every=2),
        transfer_every=3, n_rows_per_transfer=4, n_x_bins=255, stoc_round_x=False
    ),
    mapping=MappingParameter(digital_bias=False)
)"""


def test_mixed_precision(tmp_path):
    found = load_rpu_config(write(tmp_path / "c.txt", MIXED))
    device = found.settings.device
    assert isinstance(device, MixedPrecision)
    assert device == MixedPrecision(
        device.device, transfer_every=3, n_rows_per_transfer=4, n_x_bins=255, stoc_round_x=False
    )
    assert isinstance(device.device, OneSided)
    assert device.device.refresh_every == 2
    assert found.left == []


def test_all_52_presets_that_train_are_known(tmp_path):
    assert len(CONFIG_PRESETS) == len({*CONFIG_PRESETS.values()}) == 52
    for there, here in CONFIG_PRESETS.items():
        found = load_rpu_config(write(tmp_path / "c.py", f"rpu_config = {there}()"))
        config = found.settings.config()
        assert config == Settings(device=NAMED[here]).config()
        assert (config.forward.out_bound, config.forward.out_noise) == (20.0, 0.1)
    text = "ReRamES2Preset(forward=IOParameters(), update=UpdateParameters(desired_bl=5))"
    config = load_rpu_config(write(tmp_path / "c.py", text)).settings.config()
    assert (config.device, config.forward.out_bound) == (NAMED["reram-es2"], 12.0)
    assert (config.backward.out_bound, config.pulses.desired_bl) == (20.0, 5)


@pytest.mark.parametrize(
    ("text", "preset"),
    [
        (
            "UnitCellRPUConfig(device=VectorUnitCell(unit_cell_devices=[EcRamPresetDevice(), "
            "EcRamPresetDevice()], "
            "update_policy=<VectorUnitCellUpdatePolicy.SINGLE_RANDOM: 'SingleRandom'>))",
            "ecram2",
        ),
        (
            "MixedPrecisionPCMPreset(device=MixedPrecisionCompound(device=PCMPresetUnitCell()))",
            "mixed-precision-pcm",
        ),
    ],
)
def test_printed_presets_are_presets(text, preset, tmp_path):
    assert load_rpu_config(write(tmp_path / "c.txt", text)).settings.device == NAMED[preset]


def test_managements_of_single_pulses_change_nothing(tmp_path):
    """A step of a buffer is one pulse on one column, with managements or without."""
    text = "UnitCellRPUConfig(device=DynamicTransferCompound(unit_cell_devices=[{0}, {0}]{1}))"
    unit, update = (
        "SoftBoundsReferenceDevice()",
        ", transfer_update=UpdateParameters(desired_bl={})",
    )
    plain, managed, longer = (
        write(tmp_path / f"{n}.txt", text.format(unit, more))
        for n, more in enumerate(("", update.format(1), update.format(2)))
    )
    assert load_rpu_config(managed).settings == load_rpu_config(plain).settings
    with pytest.raises(ConfigError, match="transfer_update: expected desired_bl 1"):
        load_rpu_config(longer)


ALGORITHM = """UnitCellRPUConfig(
    device=TransferCompound(
        unit_cell_devices=[SoftBoundsDevice(w_max=0.3), SoftBoundsDevice()], transfer_every=2.0
    )
)"""


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            ALGORITHM.replace("2.0", "2.0, gamma=0.1"),
            "device.gamma: only 0 is modelled, got 0.1",
        ),
        (
            ALGORITHM.replace(", SoftBoundsDevice()", ""),
            "device.unit_cell_devices: expected a fast and a slow device, got",
        ),
        (
            ALGORITHM.replace("transfer_every=2.0", "transfer_lrr=3"),
            "device.transfer_lrr: unknown keyword",
        ),
        (
            "UnitCellRPUConfig(device=VectorUnitCell())",
            "device.unit_cell_devices: expected devices with keywords, got None",
        ),
        (
            CELL.replace("SEQUENTIAL", "SOMETIMES"),
            "device.update_policy: expected a member of VectorUnitCellUpdatePolicy, got",
        ),
        (CELL.replace("[0.25, 1]", "[0.25]"), "device.gamma_vec: expected a number for each of 2"),
        (CELL.replace("gamma_vec", "gamma"), "device.gamma: unknown keyword of VectorUnitCell"),
        (CELL.replace("SoftBoundsDevice", "PCMPresetUnitCell"), "class: expected one of Constant"),
        ("UnitCellRPUConfig(device=UnitCell())", "a cell of no kind of its own is not modelled"),
        (
            MIXED.replace("OneSidedUnitCell", "VectorUnitCell").replace(", refresh_every=2", ""),
            r"device.unit_cell_devices: expected 2\.\.8 step devices",
        ),
        (MIXED.replace("255", "1"), r"device.n_x_bins: expected 2\.\.256, got 1"),
        (MIXED.replace("n_x_bins", "n_z_bins"), "device.n_z_bins: unknown keyword of MixedPrec"),
        ("DigitalRankUpdateRPUConfig(device=MixedPrecisionCompound())", "device.device: expected"),
        ("MyPreset()", "MyPreset: expected a preset of aihwkit 1.2.0 that trains, or its device"),
        ("SingleRPUConfig(device=IdealDevice())", "a device without pulses is not modelled"),
        (
            "InferenceRPUConfig(noise_model=PCMLikeNoiseModel())",
            "inference with programmed weights",
        ),
        ("FloatingPointRPUConfig()", "training without pulses is not modelled"),
        ("SingleRPUConfig(device=ConstantStepDevice(dw_mim=1))", "device.dw_mim: unknown keyword"),
        ("SingleRPUConfig(device=ConstantStepDevice(dw_min=-1))", "device.dw_min: expected 1e-06"),
        ("SingleRPUConfig(device=ConstantStepDevice(dw_min='a'))", "device.dw_min: expected a num"),
        ("SingleRPUConfig(device=FooDevice())", "class: expected one of ConstantStepDevice, "),
        ("SingleRPUConfig(device=3)", "device: expected a class with keywords, got 3"),
        ("SingleRPUConfig(forward=IOParameters(out_boun=3))", "forward.out_boun: unknown keyword"),
        ("SingleRPUConfig(forward=IOParameters(out_bound=-3))", "forward.out_bound: expected 0.01"),
        (
            "SingleRPUConfig(forward=IOParameters(inp_res='a'))",
            "forward.inp_res: expected a finite",
        ),
        ("SingleRPUConfig(forward=Other())", "forward: expected one of IOParameters"),
        (
            "SingleRPUConfig(forward=IOParameters(noise_management=3))",
            "forward.noise_management: expected a member of NoiseManagementType, got 3",
        ),
        ("SingleRPUConfig(update=UpdateParameters(desired_bl=0))", "update.desired_bl: expected 1"),
        ("SingleRPUConfig(update=UpdateParameters(pulse_type=PulseType.NONE))", "without pulses"),
        ("SingleRPUConfig(mapping=3)", "mapping: expected a class with keywords, got 3"),
        ("SingleRPUConfig(colour=3)", "configuration.colour: unknown keyword"),
        ("ConstantStepDevice()", "a device alone is for --device"),
        ("SingleRPUConfig(ConstantStepDevice())", "line 1: expected keywords such as"),
        ("SingleRPUConfig(**options)", "line 1: expected each keyword"),
        ("SingleRPUConfig(device=open('x').read())", "line 1: expected a"),
        ("SingleRPUConfig(device=[x for x in y])", "line 1: expected a number, a flag, a text"),
        ("SingleRPUConfig(device=ConstantStepDevice(dw_min=9**9**9))", "line 1: expected a number"),
        ("SingleRPUConfig(device=ConstantStepDevice(dw_min=1/0))", "line 1: expected a number"),
        ("SingleRPUConfig(", r"expected a printed configuration .* \(line 1\)"),
        ("a = 3", "expected one printed configuration"),
        ("", "expected one printed configuration .* got 0 statements"),
        ("\x00", "expected a printed configuration"),
        ("SingleRPUConfig(a=" + 3000 * "(" + 3000 * ")" + ")", "expected a printed configuration"),
        ("x" * 300_000, "content: expected at most 200000 characters"),
    ],
)
def test_a_wrong_printed_configuration_gets_one_line(text, line, tmp_path):
    path = write(tmp_path / "c.txt", text)
    with pytest.raises(ConfigError, match=line) as caught:
        load_rpu_config(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "content: not valid JSON"),
        ("{", "content: not valid JSON"),
        ("[1]", "expected a table"),
        ("[" * 5000, "content: "),
        ('{"_metadata": 3}', "class: expected _metadata.device_type in the file, or --class"),
        ('{"dw_mim": 1}', "class: expected _metadata.device_type"),
        ('{"dw_min": 1e999, "p_max": 3}', "content: not valid JSON: Number out of"),
        ('{"p_max": "3"}', "device.p_max: expected an integer"),
        (
            '{"pow_gamma": 99, "reference_std": 0, "n_estimation_steps": 3}',
            "device.pow_gamma: expected 0..3.5",
        ),
        ('{"piecewise_up": [1, "a"]}', r"device.piecewise_up\[1\]: expected a number"),
        ('{"class": "Foo"}', "device.class: expected one of"),
    ],
)
def test_a_wrong_json_file_gets_one_line(text, line, tmp_path):
    path = write(tmp_path / "d.json", text)
    with pytest.raises(ConfigError, match=line) as caught:
        load_device_json(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_a_class_that_nobody_asked_for_gets_one_line(tmp_path):
    own = write(tmp_path / "o.json", {"class": "ConstantStep"})
    with pytest.raises(ConfigError, match="class: 'LinearStep' given, but the file"):
        load_device_json(own, "LinearStep")
    with pytest.raises(ConfigError, match="class: expected with --device FILE"):
        choose_device("ecram", "LinearStep")
    with pytest.raises(ConfigError, match="class: expected with --device FILE"):
        choose(Options(device_class="LinearStep"))
    with pytest.raises(ConfigError, match="a device alone is for --device"):
        choose(Options(config=own))


def test_nothing_of_a_text_is_run():
    assert parse_call("m.C(a=E.F.G, b=[1, -2.5], c='x', d=2 * 3)") == Call(
        "C", {"a": "F.G", "b": [1, -2.5], "c": "x", "d": 6}
    )
    with pytest.raises(ConfigError, match="expected a number, a flag"):
        parse_call("C(a=__import__)")

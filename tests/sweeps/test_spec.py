"""Files of sweeps: which runs they make, what is drawn, what is refused."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ohmgrid.doors.checks import ConfigError
from ohmgrid.sweeps.spec import Sweep, load_sweep
from ohmgrid.training.settings import parse_settings


def sweep_of(folder: Path, text: str) -> Sweep:
    path = folder / "sweep.toml"
    path.write_text(text)
    return load_sweep(path)


def test_a_grid_is_every_combination_in_the_order_of_the_file(tmp_path):
    sweep = sweep_of(
        tmp_path,
        """
        [sweep.over]
        device = ["ecram", "mine.toml"]
        seed = {low = 3, high = 4, whole = true}
        training.lr = [0.1]
        device.dw_min_std = [0.0, 0.5]
        [training]
        epochs = 7
        """.replace("device.dw_min_std", '"device.dw_min_std"'),
    )
    assert sweep.keys == ["device", "seed", "training.lr", "device.dw_min_std"]
    (tmp_path / "mine.toml").write_text('class = "ConstantStep"\ndw_min = 0.01\n')
    runs = [*sweep.runs()]
    assert [run.number for run in runs] == [*range(1, 9)]
    assert runs[1].values == {
        "device": "ecram",
        "seed": 3,
        "training.lr": 0.1,
        "device.dw_min_std": 0.5,
    }
    settings = [parse_settings(run.text) for run in runs]
    assert [one.config().device.dw_min_std for one in settings] == [0.0, 0.5] * 4
    assert {one.config().device.kind for one in settings} == {"LinearStep", "ConstantStep"}
    assert {one.plan().epochs for one in settings} == {7}
    assert len({run.name for run in runs}) == 8
    assert [run.name for run in sweep.runs()] == [run.name for run in runs]


@given(seed=st.integers(0, 1 << 40))
def test_draws_are_within_their_ranges_and_each_key_has_its_own(tmp_path_factory, seed):
    folder = tmp_path_factory.mktemp("sweep")
    text = """
        [sweep]
        kind = "random"
        number = 20
        seed = SEED
        [sweep.over]
        training.lr = {low = 0.001, high = 0.1, log = true}
        training.epochs = {low = 2, high = 4, whole = true}
        training.activation = ["tanh", "relu"]
        """.replace("SEED", str(seed))
    first = sweep_of(folder, text)
    for values in first.choices:
        assert 0.001 <= values["training.lr"] <= 0.1
        assert values["training.epochs"] in (2, 3, 4)
        assert values["training.activation"] in ("tanh", "relu")
    more = sweep_of(folder, text + "seed = {low = 1, high = 9, whole = true}\n")
    for one, other in zip(first.choices, more.choices, strict=True):
        assert one.items() <= other.items()
    assert len({values["training.lr"] for values in first.choices}) == 20


def test_runs_are_listed_and_a_wrong_one_is_known(tmp_path):
    sweep = sweep_of(
        tmp_path,
        """
        [sweep]
        kind = "list"
        [[sweep.runs]]
        training.lr = 0.2
        [[sweep.runs]]
        training.lr = -1.0
        """,
    )
    right, wrong = sweep.runs()
    assert (right.wrong, right.values) == (False, {"training.lr": 0.2})
    assert wrong.wrong
    assert wrong.text.startswith("training.lr: expected 1e-06..1000")


def test_a_device_file_that_is_no_toml_fails_its_run_alone(tmp_path):
    (tmp_path / "broken.toml").write_text("class = \n")
    sweep = sweep_of(tmp_path, '[sweep.over]\ndevice = ["ecram", "broken.toml"]\n')
    right, wrong = sweep.runs()
    assert (right.wrong, wrong.wrong) == (False, True)
    assert wrong.text.startswith(str(tmp_path / "broken.toml"))


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("seed = 1", "sweep: expected a table [sweep], got None"),
        ("[sweep]\nover = {sed = [1]}", "sweep, run 1: configuration: unknown key 'sed'"),
        ('[sweep]\nkind = "all"', "sweep.kind: expected one of grid, random, list, got 'all'"),
        ("[sweep]\nkinds = 1", "sweep: unknown key 'kinds'; expected kind, engine"),
        ("[sweep]\nover = {seed = 1}", "sweep.over.seed: expected a list, or whole numbers"),
        (
            '[sweep]\nkind = "random"\nover = {seed = [1]}',
            "sweep.number: expected 1..1000000, got 0",
        ),
        ('[sweep]\nkind = "list"', "sweep.runs: expected tables [[sweep.runs]], got None"),
        (
            '[sweep]\nkind = "random"\nnumber = 2\nover = {training = {lr = {low = 1.0}}}',
            "sweep.over.training.lr.high: expected",
        ),
        ('[sweep]\nover = {device = ["none"]}', "device: expected a preset"),
    ],
)
def test_what_no_run_could_begin_with_is_refused(tmp_path, text, line):
    with pytest.raises(ConfigError) as refused:
        sweep_of(tmp_path, text)
    assert str(refused.value).startswith(f"{tmp_path / 'sweep.toml'}: ")
    assert line in str(refused.value)

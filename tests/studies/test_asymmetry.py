"""The fair fight: the same devices for all, rows that are kept, and a table that adds up."""

import csv
from dataclasses import replace

import numpy as np
import pytest

from ohmgrid.devices.pcm_capacitor import PcmCapacitor
from ohmgrid.devices.transfer import Transfer
from ohmgrid.doors.checks import ConfigError
from ohmgrid.studies.asymmetry import (
    METHODS,
    Point,
    Study,
    read_points,
    run_study,
    summaries,
    unit,
    write_points,
)
from ohmgrid.training.data import load_data

SMALL = Study(
    asymmetries=(0.0, 0.4),
    leaks=(0.0,),
    seeds=2,
    epochs=1,
    layers="64-4-10",
    methods=("plain", "polarity-inversion"),
    engine="model",
)


def few():
    """Return digits, few of them."""
    data = load_data("digits", 12, 16)
    part = slice(0, 12)
    return replace(
        data,
        train_x=data.train_x[part],
        train_labels=data.train_labels[part],
        test_x=data.test_x[part],
        test_labels=data.test_labels[part],
    )


@pytest.mark.parametrize("name", METHODS)
def test_every_method_is_made_of_the_same_device(name):
    one = unit(0.3, 1e5)
    device = METHODS[name](one, 1000)
    parts = [device.fast, device.slow] if isinstance(device, Transfer) else [device.unit]
    for part in parts:
        for field in ("dw_min", "dw_min_dtod", "up_down", "up_down_dtod", "w_max", "lifetime"):
            assert getattr(part, field) == getattr(one, field)
    if isinstance(device, PcmCapacitor):
        assert device.polarity_inversion == (name == "polarity-inversion")
        assert device.transfer_every == 133


def test_devices_have_as_many_steps_as_states():
    eight, usual = unit(0.3, 0.0, 8), unit(0.3, 0.0)
    assert eight == replace(usual, dw_min=0.15)
    assert usual.dw_min == pytest.approx(0.001)
    study = replace(SMALL, states=8)
    assert {point.states for point in study.points()} == {8}
    # Runs of other devices are other runs.
    assert len(study.missing([*SMALL.points()])) == 8


def test_runs_are_kept_and_not_made_again(tmp_path):
    data, path = few(), tmp_path / "rows.csv"
    first = run_study(SMALL, data, [], lambda points: write_points(path, points))
    assert len(first) == len([*SMALL.points()]) == 8
    known = read_points(path)
    assert known == first
    # What is known is taken as it stands, whatever it says.
    changed = [point._replace(accuracy=0.125) for point in known[:7]]
    made = []
    second = run_study(SMALL, data, changed, made.append)
    assert [point.accuracy for point in second[:7]] == [0.125] * 7
    assert second[7] == first[7]
    assert len(made) == 1


def test_it_stops_where_it_is_asked_to():
    asked = iter([False, True])
    done = run_study(SMALL, few(), [], lambda points: None, lambda: next(asked, True))
    assert len(done) <= 1


def test_summaries_are_means_and_standard_errors():
    points = [Point("plain", 0.1, 0.0, 8, seed, 3, value) for seed, value in enumerate((0.5, 0.7))]
    one = summaries(points)["plain", 0.1, 0.0]
    assert one.mean == pytest.approx(0.6)
    assert one.error == pytest.approx(0.1)
    assert one.runs == 2
    assert np.isnan(summaries(points[:1])["plain", 0.1, 0.0].error)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"asymmetries": (1.5,)}, r"asymmetry: expected 0\.\.0\.9, got 1\.5"),
        ({"leaks": ()}, "leak: expected at least one number, got none"),
        ({"methods": ("plane",)}, "methods: expected one of plain, pair"),
        ({"seeds": 0}, r"seeds: expected 1\.\.1000, got 0"),
        ({"states": 1}, r"states: expected 2\.\.100000, got 1"),
    ],
)
def test_wrong_studies_are_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        Study(**changes)


def test_other_tables_are_refused(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(ConfigError, match="expected the columns method, asymmetry"):
        read_points(path)
    write_points(path, [Point("plain", 0.1, 0.0, 8, 1, 3, 0.5)])
    text = path.read_text()
    path.write_text(text.replace("0.5", "half"))
    with pytest.raises(ConfigError, match="expected rows of a study, got"):
        read_points(path)
    assert read_points(tmp_path / "none.csv") == []
    assert next(csv.reader(text.splitlines()))[0] == "method"

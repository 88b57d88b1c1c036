"""Work of an example, figures and their sources, and what they add up to."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ohmgrid.counters import Counters
from ohmgrid.devices.presets import preset
from ohmgrid.doors.checks import ConfigError
from ohmgrid.hidden import transfer_work
from ohmgrid.net import Net
from ohmgrid.studies import energy
from ohmgrid.studies.power import packages, used_by

ALONE = preset("ecram")
PAPER = Net((528, 250, 125, 10))


def test_the_papers_net_has_the_papers_operations():
    work = energy.work_of_net(PAPER, 31)
    assert (work.forward_macs, work.backward_macs, work.update_macs) == (164_885, 32_500, 164_885)
    assert work.operations == 724_540
    # 28,065 GOP/s/W, as quoted.
    assert energy.paper_j(work) == pytest.approx(25.8e-9, rel=0.002)
    assert work.counts["adc"] == 250 + 125 + 10 + 250 + 125
    assert work.counts["dac"] == 529 + 251 + 126 + 125 + 10
    assert work.counts["coincidence"] is None


def test_repeated_passes_and_pulses_are_those_that_a_run_counted():
    net, counters = Net((4, 3, 2)), Counters(2)
    counters.add(0, passes=30, pulses_up=12)
    counters.add(1, passes=20, pulses_down=8)
    none = transfer_work([({}, 15), ({}, 8)])
    work = energy.work_of_run(net, counters, none, ALONE, 10, 31)
    assert (work.counts["pcm_set"], work.counts["pcm_reset"]) == (0, 0)
    assert work.forward == 3 + 2
    assert work.counts["cell_read"] == 3 * 15 + 2 * 8 + 6
    assert work.counts["coincidence"] == 2
    # Repeated passes are no operations.
    assert work.operations == energy.work_of_net(net, 31).operations
    with pytest.raises(ConfigError, match="expected one that was trained"):
        energy.work_of_run(net, counters, none, ALONE, 0, 31)


def test_transfers_add_what_they_read_and_pulse():
    net, counters = Net((4, 3, 2)), Counters(2)
    alone = energy.work_of_run(net, counters, transfer_work([({}, 15), ({}, 8)]), ALONE, 10, 31)
    between = [
        ({"transfer_steps": np.array([n, 9]), "slow_pulses": np.array([n + 3])}, cells)
        for n, cells in ((5, 15), (7, 8))
    ]
    moved = transfer_work(between)
    assert moved["columns_read"] == [5, 7]
    for device in (preset("ttv2-ecram"), preset("tiki-taka-ecram")):
        counts = energy.work_of_run(net, counters, moved, device, 10, 31).counts
        extra = {name: (count or 0) - (alone.counts[name] or 0) for name, count in counts.items()}
        read = (5 * 3 + 7 * 2) / 10
        assert extra == pytest.approx(
            {
                "dac": 12 / 10,
                "cell_read": read,
                "adc": read,
                "coincidence": 18 / 10,
                "pcm_set": 0,
                "pcm_reset": 0,
                "function": read if device == preset("ttv2-ecram") else 0,
            }
        )
    cells = {"transfers": np.array([2]), "written": np.array([40, 6, 100, 11])}
    moved = transfer_work([(cells, 15), ({}, 8)])
    counts = energy.work_of_run(net, counters, moved, ALONE, 10, 31).counts
    extra = {name: (count or 0) - (alone.counts[name] or 0) for name, count in counts.items()}
    # Two reads of 15 weights in 5 columns, 100 of devices.
    assert extra == pytest.approx(
        {
            "dac": (2 * 5 + 100) / 10,
            "cell_read": (2 * 15 + 100) / 10,
            "adc": (2 * 15 + 100) / 10,
            "coincidence": 11 / 10,
            "pcm_set": 4,
            "pcm_reset": 0.6,
            "function": 0,
        }
    )


def test_a_sum_over_arrays_is_read_in_each_and_converted_once():
    net, counters = Net((4, 3, 2)), Counters(2)
    counters.add(0, passes=10)
    counters.add(1, passes=10)
    none = transfer_work([({}, 15), ({}, 8)])
    one, more = (
        energy.work_of_run(net, counters, none, device, 10, 31).counts
        for device in (ALONE, preset("residual-4-states"))
    )
    changed = {name: more[name] for name in one if more[name] != one[name]}
    assert changed == {name: 7 * (one[name] or 0) for name in ("dac", "cell_read")}


def test_the_sum_is_of_what_is_known():
    costs = energy.own_costs()
    rows = energy.rows_of(energy.work_of_net(PAPER, 31), costs)
    assert [row.name for row in rows] == [*energy.ENERGIES]
    for row in rows:
        assert row.source
        assert (row.nj is None) == (row.pj is None or row.count is None)
    never = energy.rows_of(
        replace(energy.work_of_net(PAPER, 31), counts=dict.fromkeys(costs.energy, 0)), costs
    )
    assert [row.nj for row in never] == [0.0] * len(never)
    for row in rows:
        if row.count is not None and row.pj is not None:
            assert row.nj == pytest.approx(row.count * row.pj / 1000)
    adc = next(row for row in rows if row.name == "adc")
    assert adc.nj == pytest.approx(760 * 2.6e-3)
    work = energy.work_of_net(PAPER, 10)
    assert energy.seconds_of(work, costs) == pytest.approx((3 * 80 + 2 * 80 + 3 * 20) * 1e-9)


GOOD = Path(energy.__file__).with_name("costs.toml").read_text()


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("pj = 2.6", "pj = -1", 'energy.adc: expected pj = a number from 0 on, or "unknown"'),
        ("pj = 2.6", "ns = 2.6", 'energy.adc: expected pj = a number from 0 on, or "unknown"'),
        ("pj = 2.6", 'pj = "much"', "Invalid enum value"),
        ("[energy.adc]", "[energy.abc]", "energy: expected dac, cell_read, adc"),
        ("[time.slot]", "[time.slots]", "time: expected forward, backward, slot"),
        ('source = "as forward"\n', "", "missing required field `source`"),
    ],
)
def test_wrong_figures_get_a_line(old, new, line, tmp_path):
    path = tmp_path / "costs.toml"
    path.write_text(GOOD.replace(old, new, 1))
    with pytest.raises(ConfigError, match=r"costs\.toml") as error:
        energy.read_costs(path)
    assert line in str(error.value)


def test_an_unknown_time_is_no_time(tmp_path):
    path = tmp_path / "costs.toml"
    path.write_text(GOOD.replace("ns = 80", 'ns = "unknown"', 1))
    costs = energy.read_costs(path)
    assert energy.seconds_of(energy.work_of_net(PAPER, 31), costs) is None


def test_processors_are_asked_where_they_answer(tmp_path):
    assert packages(tmp_path) == []
    for name, used in (("intel-rapl:0", 990), ("intel-rapl:0:0", 5), ("intel-rapl:1", 100)):
        meter = tmp_path / name
        meter.mkdir()
        (meter / "energy_uj").write_text(f"{used}\n")
        (meter / "max_energy_range_uj").write_text("1000\n")
    meters = packages(tmp_path)
    assert [meter.name for meter in meters] == ["intel-rapl:0", "intel-rapl:1"]

    def work():
        # The first one goes round.
        (tmp_path / "intel-rapl:0" / "energy_uj").write_text("40\n")
        (tmp_path / "intel-rapl:1" / "energy_uj").write_text("350\n")
        return 7

    used = used_by(work, meters)
    assert used.done == 7
    assert used.joules == pytest.approx(300e-6)

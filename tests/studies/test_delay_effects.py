"""What a tile does to networks with delay: studies that end, and say what is plain."""

from dataclasses import replace

import pytest

from ohmgrid.devices.presets import preset
from ohmgrid.doors.checks import ConfigError
from ohmgrid.studies.delay_effects import DelayStudy, crossbar_of, run_effects
from ohmgrid.studies.delay_theory import critical_delay
from ohmgrid.studies.matrices import all_inhibitory
from ohmgrid.studies.recall import RecallStudy, recall_rate, run_recall


def test_a_leak_lowers_the_gain_and_an_error_of_programming_spreads(monkeypatch):
    study = DelayStudy(("leak", "programming"), neurons=4, seeds=2)
    points = [("leak", 0.0), ("leak", 0.2), ("programming", 0.2)]
    monkeypatch.setattr(DelayStudy, "points", lambda self: iter(points))
    fresh, leaked, wrong = run_effects(study)
    matrix = all_inhibitory(4)
    assert fresh.critical == pytest.approx([critical_delay(2.0, matrix)] * 2, rel=0.01)
    lower = critical_delay(2.0 * 2.718281828**-0.2, matrix)
    assert leaked.critical == pytest.approx([lower] * 2, rel=0.01)
    assert len(set(wrong.critical)) == 2
    assert run_effects(study, stop=lambda: True) == []


def test_each_effect_has_its_place_in_the_tile():
    matrix = all_inhibitory(4)
    assert crossbar_of("adc", 5, matrix, 1).config.forward.adc_bits == 5
    assert crossbar_of("dac", 3, matrix, 1).config.forward.dac_bits == 3
    assert crossbar_of("read", 0.1, matrix, 1).config.forward.w_noise == pytest.approx(0.06)
    assert crossbar_of("leak", 0.5, matrix, 1).age == 500
    # Three weights of 0.6 at most.
    assert crossbar_of("leak", 0.5, matrix, 1).config.forward.out_bound == pytest.approx(1.8)


def test_few_patterns_are_recalled_and_many_are_not():
    study = RecallStudy(neurons=32, patterns=(2, 20), delays=(0.1, 2.0), seeds=1)
    rows = run_recall(study, preset("gokmen-vlasov"))
    assert [row.crossbar for row in rows] == ["exact"] * 4 + ["tile"] * 4
    for row in rows:
        (rate,) = row.rates
        assert rate == 1.0 if row.patterns == 2 else rate < 0.5
    assert recall_rate(replace(study, turned=0.5), 2, 0.1, 1, None) < 1.0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DelayStudy(("noise",)), "effects: expected one of programming"),
        (lambda: DelayStudy(seeds=0), "seeds: expected 1..100, got 0"),
        (lambda: RecallStudy(patterns=(99,)), "patterns: expected 1..64, got 99"),
        (lambda: RecallStudy(delays=(0.01,)), r"delays: expected 0.1..100, got 0.01"),
        (lambda: RecallStudy(patterns=()), "patterns: expected at least one load"),
    ],
)
def test_wrong_studies_are_refused(make, message):
    with pytest.raises(ConfigError, match=message):
        make()

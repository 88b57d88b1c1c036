"""Files in the forms that people have are read as what they are, or refused in one line."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ohmgrid.doors.checks import ConfigError
from ohmgrid.measurements.courses import Measurement, StepCurve
from ohmgrid.measurements.reader import Hints, read_measurement

RISE = [1.0, 3.0, 4.5, 5.5, 6.2, 6.7, 7.0, 7.2]
FALL = [7.2, 5.0, 3.5, 2.6, 2.0, 1.6, 1.3, 1.1]
BOTH = [*RISE, *FALL]


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(text.encode(encoding))
    return path


def rows(*columns: object, head: str = "", separator: str = ",") -> str:
    """Return the text of a table; columns are lists, blank where they have ended."""
    lists = [list(column) for column in columns]  # type: ignore[call-overload]
    longest = max(map(len, lists))
    cells = [[str(c[k]) if k < len(c) else "" for c in lists] for k in range(longest)]
    return "\n".join(([head] if head else []) + [separator.join(row) for row in cells]) + "\n"


def read(tmp_path: Path, text: str, hints: Hints | None = None) -> Measurement:
    found = read_measurement([write(tmp_path / "m.csv", text)], hints)
    assert isinstance(found, Measurement)
    return found


def check_both(found: Measurement, factor: float = 1.0) -> None:
    """Fail unless the course is RISE, then FALL."""
    (course,) = found.courses
    assert course.values == pytest.approx(np.array(BOTH) * factor)
    assert course.up.tolist() == [True] * 8 + [False] * 8
    assert found.warnings == ()


FORMS = {
    "long, direction": rows(range(16), BOTH, ["up"] * 8 + ["down"] * 8, head="pulse,g,direction"),
    "long, signs": rows(range(16), BOTH, ["1"] * 8 + ["-1"] * 8, head="n,value,dir"),
    "long, none": rows(range(16), BOTH, head="Pulse number,Conductance"),
    "wide, words": rows(RISE, FALL, head="G_LTP,G_LTD"),
    "wide, down reversed": rows(RISE, FALL[::-1], head="up,down"),
    "wide, down first": rows(FALL, RISE, head="depression;potentiation", separator=";"),
    "wide, numbers of its own": rows(
        range(8), RISE, range(8), FALL, head="Time_LTP\tG_LTP\tTime_LTD\tG_LTD", separator="\t"
    ),
    "no head, two columns": rows(RISE, FALL),
    "no head, numbers": rows(range(16), BOTH, separator="\t"),
    "no head, three columns": rows(range(8), RISE, FALL, separator=" "),
    "one value a line": rows(BOTH),
    "semicolons and decimal commas": rows(
        range(16), BOTH, head="pulse;conductance", separator=";"
    ).replace(".", ","),
    "quoted decimal commas": rows(
        range(16), ['"' + str(v).replace(".", ",") + '"' for v in BOTH], head="pulse,conductance"
    ),
    "byte-order mark": "\ufeff" + rows(range(16), BOTH, head="pulse,conductance"),
    "lines before the data": "Setup\tsweep 1\nCount\t1\nParameters\na,b,1.5\nMeasurement Data\n"
    + rows(range(16), BOTH, head="index, G"),
    "remarks": "# a tester wrote this\n" + rows(range(16), BOTH, head="index,G") + "# end\n",
    "empty lines": rows(range(16), BOTH, head="pulse,conductance").replace("\n", "\n\n"),
    "line ends of other systems": rows(range(16), BOTH, head="pulse,g").replace("\n", "\r\n"),
    "shuffled": rows([*range(8, 16), *range(8)], FALL + RISE, head="pulse,conductance"),
    "numbers start again": rows(
        [*range(8), *range(8)], BOTH, ["up"] * 8 + ["down"] * 8, head="pulse,g,direction"
    ),
    "signs of the voltage": rows(range(16), ["1.5"] * 8 + ["-1.5"] * 8, BOTH, head="n,V,G"),
    "other signs": rows(range(16), ["-1.5"] * 8 + ["1.5"] * 8, BOTH, head="n,V,G"),
    "a second quantity": rows(range(16), BOTH, [1] * 16, head="n,G,I"),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_form_is_read(tmp_path: Path, form: str):
    check_both(read(tmp_path, FORMS[form]))


def test_branches_in_two_files_in_any_order(tmp_path: Path):
    up = write(tmp_path / "x_ltp.txt", rows(range(8), RISE, separator="\t"))
    down = write(tmp_path / "x_ltd.txt", rows(range(7, -1, -1), FALL, separator="\t"))
    for paths in ([up, down], [down, up]):
        found = read_measurement(paths)
        assert isinstance(found, Measurement)
        assert found.read.startswith("8 up, 8 down")
        assert {bool(part.up[0]) for part in found.courses} == {True}
    a = write(tmp_path / "a.txt", rows(FALL))
    b = write(tmp_path / "b.txt", rows(RISE))
    found = read_measurement([a, b])
    assert isinstance(found, Measurement)
    assert found.courses[0].values[:8].tolist() == RISE


def test_what_was_read_is_said_back(tmp_path: Path):
    text = rows(np.array(RISE) * 1e-9, np.array(FALL[::-1]) * 1e-9, head="G_LTP,G_LTD")
    found = read(tmp_path, text)
    assert found.read == "8 up, 8 down, siemens, down branch stored in reverse, turned"


@pytest.mark.parametrize(
    ("head", "unit", "factor", "base"),
    [
        ("n,G (uS)", "", 1e-6, "S"),
        ("n,g_nS", "", 1e-9, "S"),
        ("n,Id (A)", "", 1.0, "A"),
        ("n,adc", "", 1.0, "counts"),
        ("n,value", "mS", 1e-3, "S"),
    ],
)
def test_units(tmp_path: Path, head: str, unit: str, factor: float, base: str):
    found = read(tmp_path, rows(range(16), BOTH, head=head), Hints(unit=unit))
    check_both(found, factor)
    assert found.unit == base


def test_resistances_become_conductances(tmp_path: Path):
    ohms = [1e3 / value for value in BOTH]
    for head, hints in (("n,R (kohm)", Hints()), ("n,x", Hints(("x",), "kohm"))):
        found = read(tmp_path, rows(range(16), ohms, head=head), hints)
        check_both(found, 1e-6)
        assert "ohm turned into siemens" in found.read
    with pytest.raises(ConfigError, match=r"line 2: R: expected a resistance above 0, got 0"):
        read(tmp_path, rows(range(16), [0, *ohms[1:]], head="n,R"))


def test_many_devices_and_cycles(tmp_path: Path):
    text = rows(
        ["a"] * 16 + ["b"] * 16, [*range(16)] * 2, BOTH + [2 * v for v in BOTH],
        head="device,pulse,conductance",
    )  # fmt: skip
    found = read(tmp_path, text)
    assert [course.device for course in found.courses] == ["a", "b"]
    assert "2 devices" in found.read
    wide = rows(BOTH, [2 * v for v in BOTH], head="device 1,device 2")
    assert [course.device for course in read(tmp_path, wide).courses] == ["1", "2"]
    cycles = rows(RISE, FALL, RISE, FALL, head="LTP1,LTD1,LTP2,LTD2")
    found = read(tmp_path, cycles)
    assert len(found.courses) == 2
    assert "2 cycles" in found.read
    chosen = read(tmp_path, rows(BOTH, BOTH, head="x,y"), Hints(("x", "y")))
    assert len(chosen.courses) == 2


def test_cycles_without_directions_are_found(tmp_path: Path, rng: np.random.Generator):
    up = np.linspace(80, 400, 100)
    course = np.tile(np.r_[up, up[::-1]], 3) + rng.normal(0, 3, 600)
    found = read(tmp_path, rows(range(1, 601), course.round().astype(int), head="pulse,adc"))
    assert found.read == "300 up, 300 down, 3 cycles, counts, 5 turns found by their course"
    assert np.flatnonzero(np.diff(found.courses[0].up)).tolist() == [99, 199, 299, 399, 499]


def test_pulses_and_columns_can_be_told(tmp_path: Path):
    check_both(read(tmp_path, rows(BOTH), Hints(up="8", down="8")))
    check_both(read(tmp_path, rows(RISE, FALL, head="x,y"), Hints(up="x", down="y")))
    check_both(read(tmp_path, rows(FALL, RISE), Hints(up="2", down="column 1")))
    with pytest.raises(ConfigError, match="up, down: expected numbers of pulses whose sum divides"):
        read(tmp_path, rows(BOTH), Hints(up="8", down="9"))


def test_a_turn_at_a_level_is_not_certain(tmp_path: Path):
    rise, fall = np.minimum(np.arange(30), 10), np.maximum(10 - np.arange(1, 16), 0)
    found = read(tmp_path, rows(np.r_[rise, fall]))
    assert "the turn is not certain" in found.warnings[0]
    assert found.courses[0].up.sum() == pytest.approx(30, abs=1)


def test_numbers_that_start_again_are_said(tmp_path: Path):
    found = read(tmp_path, rows([*range(8), *range(8)], BOTH, head="pulse,conductance"))
    assert found.courses[0].up.sum() == 8
    assert "pulse numbers start again at line 10" in found.warnings[0]


def test_a_ramp_of_amplitudes_is_said(tmp_path: Path):
    volts = [*np.linspace(0.1, 1.5, 8), *np.linspace(-0.1, -1.5, 8)]
    ohms = [1e6 / v for v in [*FALL, *RISE]]
    text = rows(range(16), volts, ohms, head="index, pulse amplitude (V), R_low (ohm)")
    found = read(tmp_path, text)
    assert found.courses[0].up.sum() == 8
    assert "V > 0 lowers the conductance" in found.read
    assert "an amplitude ramp (0.1 to 1.5 V)" in found.warnings[0]


def test_steps_on_bins_are_no_course(tmp_path: Path):
    path = write(tmp_path / "s.csv", "\ufeff0.001,0.004\n0.005,0.006\n0.001,0.002\n0.001,0.002\n")
    for hints in (None, Hints(steps=True)):
        found = read_measurement([path], hints)
        assert isinstance(found, StepCurve)
        assert found.up == (0.001, 0.005, 0.001, 0.001)
        assert found.down == (0.004, 0.006, 0.002, 0.002)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "content: expected a table of measured pulses, got nothing"),
        ("a,b\n1,2\n", "expected a column of conductances.*among 'a, b'; --column NAME says which"),
        (rows(range(16), [*BOTH[:4], "x", *BOTH[5:]], head="pulse,g"), "line 6: g: .*got 'x'"),
        (rows(range(16), [*BOTH[:4], "nan", *BOTH[5:]], head="pulse,g"), "line 6: g: .*got nan"),
        (rows(range(16), [*BOTH[:4], "1_0", *BOTH[5:]], head="pulse,g"), "line 6: g: .*got '1_0'"),
        (rows(range(16), [*BOTH[:4], "1e300", *BOTH[5:]], head="pulse,g"), "line 6: g: expected"),
        ("pulse,g\n1,2\n2,3\n", "pulse: expected at least 8 values, got 2"),
        (rows(RISE, head="Conductance(S)"), "got one up branch: the down branch is missing"),
        (rows(FALL), "got one down branch: the up branch is missing"),
        (rows(range(16), [5] * 16, head="n,g"), "expected values that change under pulses"),
        (
            rows(range(9), [*RISE, 7], ["up"] * 8 + ["down"], head="pulse,g,direction"),
            "expected several up and several down pulses, got 1 down",
        ),
        (rows(range(16), BOTH, ["left"] * 16, head="pulse,g,direction"), "expected up or down"),
        (
            rows(range(16), [str(v).replace(".", ",") for v in BOTH], head="pulse,g"),
            "line 2: expected 2 values, got 3 .decimal commas need semicolons or tabs",
        ),
        (rows(range(16), BOTH, head="pulse,g").replace("5,6.7", "5;6.7"), "line 7: expected 2"),
        (rows([*range(8), *range(7, 15)], BOTH, head="pulse,g"), "line 10: .*got 7 again"),
        (rows([0, 1, 2, 3, 4, 5, 6, 7] * 2, RISE * 2, head="pulse,g"), "direction"),
        ('pulse,g\n1,"2" 3\n2,3\n', "line 2: expected a table, got"),
        ("pulse,g\n1," + "9" * 200_000, "line 2: expected a table, got: field larger"),
        (rows(range(16), BOTH, BOTH, head="pulse,g,g"), "line 1: expected each column once"),
        (rows(FALL, RISE, head="up,down"), "got both the other way round .--unit ohm"),
        (rows(RISE, [3] * 8, head="up,down"), "down: expected a branch that falls"),
        ("text\nand more text\n", "line 1: expected numbers in columns, as pulse,conductance"),
    ],
)  # fmt: skip
def test_wrong_files_get_one_line(tmp_path: Path, text: str, line: str):
    path = write(tmp_path / "d.csv", text)
    with pytest.raises(ConfigError, match=line) as caught:
        read_measurement([path])
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"\x00\x01\x02" * 100, "expected text, got a binary file"),
        ("pulse,g\n1,2\n".encode("utf-16"), "iconv -f UTF-16 -t UTF-8"),
        ("pulse,leitfähigkeit\n".encode("latin1"), "iconv -f LATIN1 -t UTF-8"),
    ],
)
def test_what_is_no_text_gets_a_recipe(tmp_path: Path, content: bytes, line: str):
    path = tmp_path / "d.csv"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=line):
        read_measurement([path])
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        read_measurement([tmp_path / "none.csv"])
    with pytest.raises(ConfigError, match="cannot be read"):
        read_measurement([Path("a\0b")])


@settings(max_examples=60)
@given(data=st.data())
def test_a_course_in_any_form_is_read_back(data: st.DataObject, tmp_path_factory):
    """Lengths, cycles, devices, separators, decimals, order and names are drawn."""
    draw = data.draw
    rise = np.sort(draw(st.lists(st.integers(1, 9999), min_size=8, max_size=20, unique=True)))
    fall = np.sort(draw(st.lists(st.integers(1, 9999), min_size=8, max_size=20, unique=True)))
    low, high = min(rise[0], fall[0]), max(rise[-1], fall[-1])
    # Both branches go from one end of the range to the other.
    rise[[0, -1]], fall[[0, -1]] = (low, high), (low, high)
    rise, fall = rise / 1000, fall[::-1] / 1000
    separator = draw(st.sampled_from([",", ";", "\t"]))
    number = draw(st.sampled_from(["conductance", "G", "I (uA)", "weight", "adc"]))
    if draw(st.booleans()):
        head = f"{number}_up{separator}{number}_down"
        stored = fall[::-1] if draw(st.booleans()) else fall
        text = rows(rise, stored, head=head, separator=separator)
    else:
        words = draw(st.sampled_from([("up", "down"), ("LTP", "LTD"), ("1", "-1"), ("+", "-")]))
        names = [words[0]] * len(rise) + [words[1]] * len(fall)
        head = separator.join(("pulse", number, "direction"))
        both = [*rise, *fall]
        text = rows(range(len(both)), both, names, head=head, separator=separator)
    if separator != "," and draw(st.booleans()):
        text = text.replace(".", ",")
    if draw(st.booleans()):
        text = "Device ID\tD1\nCount\t1\n" + text
    if draw(st.booleans()):
        text = "\ufeff" + text
    text = text.replace("\n", draw(st.sampled_from(["\n", "\r\n", "\n\n"])))
    path = write(tmp_path_factory.mktemp("form") / "m.txt", text)
    found = read_measurement([path])
    assert isinstance(found, Measurement)
    (course,) = found.courses
    factor = 1e-6 if "uA" in number else 1.0
    assert course.values == pytest.approx(np.r_[rise, fall] * factor)
    assert course.up.tolist() == [True] * len(rise) + [False] * len(fall)


def test_one_far_value_hides_no_direction(tmp_path: Path):
    """A branch stored in reverse whose first value is far from all others."""
    text = rows(range(1, 227, 25), [*range(1, 20), 226], head="G_up,G_down")
    (course,) = read(tmp_path, text).courses
    assert course.values[~course.up].tolist() == [226, *range(19, 0, -1)]

"""Where arrays lie: no two share a word, a line or a key; the choice; what is refused."""

from itertools import accumulate, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ohmgrid.config import BuildConfig, LayoutConfig
from ohmgrid.doors.checks import ConfigError
from ohmgrid.registers.arrays import ENTRIES
from ohmgrid.registers.layout import Place, Words, check_words, place_arrays, roomy_build

PLENTY = BuildConfig(lanes=4, words=1 << 17, inputs=4096, outputs=4096)
SHAPES = st.lists(st.tuples(st.integers(1, 30), st.integers(1, 30)), min_size=1, max_size=8)
MNIST = ((250, 528), (125, 251), (10, 126))


def cells(place: Place, lanes: int):
    """Return lane and place of every word, by row, column and device, as the sweep finds them."""
    for row, col, device in product(range(place.rows), range(place.cols), range(place.stride)):
        lane_line, serial = (row, col) if place.turned else (col, row)
        block, lane = divmod(lane_line, lanes)
        line = serial + (place.input_line if place.turned else place.output_line)
        block_words = place.serial * place.stride
        yield lane, place.origin + block * block_words + line * place.stride + device


@given(SHAPES, st.sampled_from([(1, 0), (2, 0), (1, 3)]), st.integers(1, 9), st.data())
def test_no_two_arrays_share_anything(shapes, each, lanes, data):
    devices, significance = each

    numbers = st.lists(st.integers(0, len(shapes) - 1), unique=True)
    layout = LayoutConfig(turned=data.draw(st.just("auto") | numbers.map(tuple)))
    build = BuildConfig(lanes=lanes, words=1 << 16, inputs=4096, outputs=4096)
    places = place_arrays(shapes, Words(devices, 1, significance), build, layout)
    assert [(place.rows, place.cols) for place in places] == shapes
    if layout.turned != "auto":
        assert [n for n, place in enumerate(places) if place.turned] == sorted(layout.turned)
    used = [cell for place in places for cell in cells(place, lanes)]
    words = devices + bool(significance)
    assert len(set(used)) == len(used) == words * sum(rows * cols for rows, cols in shapes)
    # Packed: each array takes what it says, right behind the one before.
    ends = list(accumulate(place.words(lanes) for place in places))
    assert [place.base for place in places] == [0, *ends[:-1]]
    assert all(0 <= word < ends[-1] for _, word in used)
    inputs = [place.input_line + col for place in places for col in range(place.cols)]
    assert inputs == list(range(len(inputs)))
    keys = [
        (place.output_line + row) * devices + device
        for place in places
        for row in range(place.rows)
        for device in range(devices)
    ]
    assert keys == list(range(len(keys)))


@given(SHAPES, st.integers(1, 9), st.integers(2, 3))
def test_arrays_of_a_weight_share_lines_and_no_words(shapes, lanes, arrays):
    build = BuildConfig(lanes=lanes, words=1 << 16, inputs=4096, outputs=4096)
    auto = LayoutConfig()
    words = Words(1, arrays)
    places = place_arrays(shapes, words, build, auto)
    first = [place._replace(base=0) for place in places[: len(shapes)]]
    assert [place._replace(base=0) for place in places] == first * arrays
    used = [cell for place in places for cell in cells(place, lanes)]
    assert len(set(used)) == len(used) == arrays * sum(rows * cols for rows, cols in shapes)
    roomy = roomy_build(shapes, words, BuildConfig(lanes=lanes, words=1), auto)
    assert place_arrays(shapes, words, roomy, auto)
    check_words("any", roomy, words)
    with pytest.raises(ConfigError, match=r"^build\.transfers: expected true .* any, got false$"):
        check_words("any", roomy_build(shapes, words, build, auto, ["transfers"]), words)


def test_a_second_word_needs_a_build_that_counts_it_as_often():
    words, small = Words(significance=3), BuildConfig(significance=2)
    assert roomy_build([(5, 9)], words, small, LayoutConfig()).significance == 3
    assert (
        roomy_build([(5, 9)], words, BuildConfig(significance=7), LayoutConfig()).significance == 7
    )
    with pytest.raises(ConfigError, match=r"^build\.significance: expected 3 .* any, got 2$"):
        check_words("any", small, words)


def needs(places: list[Place], lanes: int) -> int:
    """Return the words of a lane."""
    return sum(place.words(lanes) for place in places)


@pytest.mark.parametrize("devices", [1, 2])
def test_memory_decides_before_cycles(devices: int):
    """With little memory arrays lie as they take least; with plenty, as they are fastest."""
    auto = LayoutConfig()

    def words(turned: tuple[int, ...]) -> int:
        many = BuildConfig(lanes=84, words=1 << 16, inputs=1024, outputs=1024)
        return needs(place_arrays(MNIST, Words(devices), many, LayoutConfig(turned=turned)), 84)

    choices = [tuple(n for n in range(3) if bits >> n & 1) for bits in range(1 << len(MNIST))]
    least = min(map(words, choices))
    tight = BuildConfig(lanes=84, words=least, inputs=1024, outputs=1024)
    assert needs(place_arrays(MNIST, Words(devices), tight, auto), 84) == least
    short = BuildConfig(lanes=84, words=least - 1, inputs=1024, outputs=1024)
    with pytest.raises(
        ConfigError, match=f"expected room for the {least} words in each of 84 lanes"
    ):
        place_arrays(MNIST, Words(devices), short, auto)
    # Of a picture few pixels are not dark: the first array is faster with columns serial.
    assert place_arrays(MNIST, Words(devices), PLENTY, auto)[0].turned


@pytest.mark.parametrize(
    ("shapes", "devices", "build", "line"),
    [
        (
            [(5, 9), (3, 6)],
            1,
            {"words": 20},
            "build.words: expected room for the 21 words in each of 4 lanes that this net takes, "
            "got 20",
        ),
        (
            [(5, 9), (3, 6)],
            1,
            {"inputs": 14},
            "build.inputs: expected room for the 15 input lines that this net takes, got 14",
        ),
        (
            [(5, 9), (3, 6)],
            2,
            {"outputs": 15},
            "build.outputs: expected room for the 16 lines of output devices that this net takes, "
            "got 15",
        ),
        (
            [(1, 1)] * 3,
            1,
            {"arrays": 2},
            "build.arrays: expected room for the 3 arrays that this net takes, got 2",
        ),
        ([(1, 1)] * (ENTRIES + 1), 1, {}, "layers: expected at most 24 arrays, got 25"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(shapes, devices, build, line):
    given = {"lanes": 4, "words": 1 << 12, "inputs": 64, "outputs": 64} | build
    with pytest.raises(ConfigError) as refused:
        place_arrays(shapes, Words(devices), BuildConfig(**given), LayoutConfig(turned=()))
    assert str(refused.value) == line


def test_an_array_that_there_is_not_cannot_be_turned():
    with pytest.raises(ConfigError) as refused:
        place_arrays([(5, 9)], Words(), PLENTY, LayoutConfig(turned=(1,)))
    assert str(refused.value) == "layout.turned: expected arrays 0..0, got 1"


@given(SHAPES, st.integers(1, 2), st.integers(1, 9))
def test_a_roomy_build_holds_the_arrays_and_nothing_shrinks(shapes, devices, lanes):
    small = BuildConfig(lanes=lanes, words=50, inputs=30, outputs=20)
    auto = LayoutConfig()
    roomy = roomy_build(shapes, Words(devices), small, auto)
    places = place_arrays(shapes, Words(devices), roomy, auto)
    assert roomy.lanes == lanes
    taken = {
        "words": needs(places, lanes),
        "inputs": sum(cols for _, cols in shapes),
        "outputs": devices * sum(rows for rows, _ in shapes),
    }
    for name, needed in taken.items():
        has, had = getattr(roomy, name), getattr(small, name)
        # Rounded up by an eighth at most.
        assert max(had, needed) <= has <= max(had, needed + needed // 8)


@pytest.mark.parametrize("name", ["words", "inputs", "outputs"])
def test_a_fixed_field_of_a_roomy_build_stays(name: str):
    small = BuildConfig(lanes=4, words=1, inputs=1, outputs=1)
    with pytest.raises(ConfigError, match=rf"^build\.{name}: expected room for .*, got 1$"):
        roomy_build([(5, 9)], Words(), small, LayoutConfig(), fixed=[name])

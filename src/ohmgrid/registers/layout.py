"""Where the arrays of a net lie in the lanes of one core: packed by the host, and chosen to fit.

The lanes of an array lie along its inputs (plain) or along its outputs (turned); the lines of the
other side are *serial*: a sweep visits them one after the other. Block b of lane lines and serial
line k lie at word ``base + (b * serial + k) * stride`` of every lane, the minus device of a pair,
or what lies beside a device, one word behind it. Where a weight has several arrays, those behind
the first take the same lines. No result depends on it. Standard library only.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from ohmgrid.config import (
    MOST_ARRAYS,
    MOST_BUFFERS,
    MOST_LINES,
    MOST_WORDS,
    BuildConfig,
    LayoutConfig,
)
from ohmgrid.devices.base import Device
from ohmgrid.devices.transfer import (
    BufferedTransfer,
    ChoppedTransfer,
    DynamicTransfer,
    Transfer,
)
from ohmgrid.doors.checks import ConfigError

__all__ = [
    "OF_WORDS",
    "Place",
    "Words",
    "check_words",
    "place_arrays",
    "roomy_build",
    "with_needs",
    "words_of",
]

LOADING = 2
"""Cycles from a block's first visit until the next one's lines are being loaded."""
PIXELS, PIXEL_TRAINS = 0.3, 0.12
"""Share of a net's inputs that has a DAC code, or a pulse, in pictures with a dark ground."""
ERRORS, TRAINS = 0.7, 0.4
"""Share of errors with a DAC code, and of lines with a pulse, in the other layers."""


SEVERAL = {"device_sets": 2, "computed_keys": True, "transfers": True}
"""What a build needs for several arrays of a weight: registers for two kinds of them; keys that do
not lie with the lines, which they share; and steps that bring something from one to another."""
OF_WORDS = (*SEVERAL, "significance")
"""Fields of a build that follow from what a weight is made of."""


class Words(NamedTuple):
    """What a weight is made of in a core's memories."""

    devices: int = 1
    """Devices of it in an array: 2 for a pair."""
    arrays: int = 1
    """Arrays that it has a cell in."""
    significance: int = 0
    """How many times passes add a cell's second word; 0: it has none."""
    buffered: bool = False
    """There is a buffer between its arrays, on the chip or with the host;"""
    means: bool = False
    """and means of what is read."""

    def needs(self, build: BuildConfig) -> dict[str, int | bool]:
        """Return what a build must have for it, of the fields `OF_WORDS`."""
        needs: dict[str, int | bool] = dict(SEVERAL) if self.arrays > 1 else {}
        if self.significance:
            needs["significance"] = max(self.significance, build.significance)
        return needs


def words_of(device: Device) -> Words:
    """Return what a weight of a device is made of in a core's memories."""
    arrays = 2 if isinstance(device, Transfer) else 1
    buffered = isinstance(device, BufferedTransfer | ChoppedTransfer)
    means = isinstance(device, DynamicTransfer)
    return Words(device.devices, arrays, device.significance, buffered, means)


class Place(NamedTuple):
    """One array and where it lies."""

    rows: int
    cols: int
    devices: int
    """Devices of a weight: 2 for a pair."""
    turned: bool
    base: int
    """Its first word in each lane."""
    input_line: int
    """Its first line in the memories of inputs."""
    output_line: int
    """Its first line in the memories of outputs."""
    significance: int = 0
    """How many times passes add a cell's second word; 0: it has none."""

    @property
    def stride(self) -> int:
        """Words of a weight."""
        return self.devices + bool(self.significance)

    @property
    def seen(self) -> int:
        """Visits that a serial line takes in a pass; in an update, it takes one for each device."""
        return self.devices + self.significance

    @property
    def serial(self) -> int:
        """Serial lines."""
        return self.cols if self.turned else self.rows

    @property
    def lane_lines(self) -> int:
        """Lines along which the lanes lie."""
        return self.rows if self.turned else self.cols

    def words(self, lanes: int) -> int:
        """Return the words that it takes in each lane."""
        return -(-self.lane_lines // lanes) * self.serial * self.stride

    @property
    def origin(self) -> int:
        """What the number of a serial line is added to for its word; may be below 0."""
        line = self.input_line if self.turned else self.output_line
        return self.base - line * self.stride


def _sweep(serial: float, lane_lines: int, lanes: int) -> float:
    """Return the cycles of a sweep of so many serial lines."""
    blocks = -(-lane_lines // lanes)
    loads = [min(lanes, lane_lines - block * lanes) for block in range(blocks)]
    return loads[0] + sum(max(serial, load + LOADING) for load in loads[1:]) + serial


def _cycles(place: Place, lanes: int, first: bool) -> float:
    """Return about how many cycles an example's sweeps of an array take."""
    rows, cols, devices, turned = place[:4]
    if turned:
        codes, trains = (PIXELS, PIXEL_TRAINS) if first else (1.0, TRAINS)
        serial, lane_lines, back = cols, rows, 1.0
    else:
        codes, trains, serial, lane_lines, back = 1.0, TRAINS, rows, cols, ERRORS
    passes = [codes] if first else [codes, back]
    visits = [*(part * place.seen for part in passes), trains * devices]
    return sum(_sweep(part * serial, lane_lines, lanes) for part in visits)


def _packed(
    shapes: Sequence[tuple[int, int]], words: Words, lanes: int, turned: Sequence[bool]
) -> list[Place]:
    """Return the places of arrays one behind the other: first those that come first in a weight."""
    places: list[Place] = []
    base = inputs = outputs = 0
    for (rows, cols), turn in zip(shapes, turned, strict=True):
        place = Place(rows, cols, words.devices, turn, base, inputs, outputs, words.significance)
        places.append(place)
        base += place.words(lanes)
        inputs, outputs = inputs + cols, outputs + rows
    for _ in range(words.arrays - 1):
        for place in places[: len(shapes)]:
            places.append(place._replace(base=base))
            base += place.words(lanes)
    return places


def _chosen(
    shapes: Sequence[tuple[int, int]], words: Words, build: BuildConfig, layout: LayoutConfig
) -> list[bool]:
    """Return which arrays are turned: as told, or the fastest that fits."""
    if not isinstance(layout.turned, str):
        for number in layout.turned:
            if number >= len(shapes):
                raise ConfigError(
                    "layout.turned", f"expected arrays 0..{len(shapes) - 1}, got {number}"
                )
        return [number in layout.turned for number in range(len(shapes))]
    lanes = build.lanes

    def place(number: int, turned: bool) -> Place:
        return Place(*shapes[number], words.devices, turned, 0, 0, 0, words.significance)

    def needed(number: int, turned: bool) -> int:
        return place(number, turned).words(lanes)

    def cycles(number: int, turned: bool) -> float:
        return _cycles(place(number, turned), lanes, number == 0)

    numbers = range(len(shapes))
    turned = [cycles(number, True) < cycles(number, False) for number in numbers]
    # Memory comes first: where it is short, arrays lie as they take least, the largest gain first.
    gains = {n: needed(n, turned[n]) - needed(n, not turned[n]) for n in numbers}
    for number in sorted(numbers, key=lambda n: -gains[n]):
        if gains[number] <= 0 or words.arrays * sum(map(needed, numbers, turned)) <= build.words:
            break
        turned[number] = not turned[number]
    return turned


def _needs(places: Sequence[Place], lanes: int, words: Words) -> dict[str, int]:
    """Return what arrays need of the fields of a build."""
    last = places[-1]
    cells = sum(place.rows * place.cols for place in places) // words.arrays
    return {
        "buffers": cells if words.buffered else 0,
        "arrays": len(places),
        "words": last.base + last.words(lanes),
        "inputs": last.input_line + last.cols,
        "outputs": (last.output_line + last.rows) * last.devices,
    }


def place_arrays(
    shapes: Sequence[tuple[int, int]], words: Words, build: BuildConfig, layout: LayoutConfig
) -> list[Place]:
    """Return where each array of shape ``(rows, cols)`` lies; with several arrays of a weight, the
    first of all shapes, then the second.

    Parameters
    ----------
    shapes : sequence of (rows, cols)
    words : Words
    build : BuildConfig
    layout : LayoutConfig

    Raises
    ------
    ConfigError
        If they do not fit; its line names the numbers.
    """
    count = len(shapes) * words.arrays
    if count > MOST_ARRAYS:
        raise ConfigError("layers", f"expected at most {MOST_ARRAYS} arrays, got {count}")
    turned = _chosen(shapes, words, build, layout)
    places = _packed(shapes, words, build.lanes, turned)
    lines = {
        "buffers": "buffers",
        "arrays": "arrays",
        "words": f"words in each of {build.lanes} lanes",
        "inputs": "input lines",
        "outputs": "lines of output devices",
    }
    for name, needed in _needs(places, build.lanes, words).items():
        # Without any, buffers are with the host.
        if needed > getattr(build, name) and (name != "buffers" or build.buffers):
            raise ConfigError(
                f"build.{name}",
                f"expected room for the {needed} {lines[name]} that this net takes, "
                f"got {getattr(build, name)}",
            )
    return places


def roomy_build(
    shapes: Sequence[tuple[int, int]],
    words: Words,
    build: BuildConfig,
    layout: LayoutConfig,
    fixed: Sequence[str] = (),
) -> BuildConfig:
    """Return the build with room for arrays: fields that are not ``fixed`` grow as they must, and
    are as `Words.needs` says.

    For gateware that is simulated, where memory costs nothing. Parameters as of `place_arrays`.

    Raises
    ------
    ConfigError
        If a fixed field has no room, or no build has.
    """
    build = with_needs(build, words, fixed)
    most = {
        **{"arrays": MOST_ARRAYS, "words": MOST_WORDS},
        **({"buffers": MOST_BUFFERS} if words.buffered and build.transfers else {}),
        **dict.fromkeys(("inputs", "outputs"), MOST_LINES),
    }
    free = {name: most[name] for name in most if name not in fixed}
    places = place_arrays(shapes, words, replace(build, **free), layout)
    needs = _needs(places, build.lanes, words)
    build = replace(
        build, **{name: max(getattr(build, name), _rounded(needs[name])) for name in free}
    )
    means = words.means and build.buffers > 0 and "means" not in fixed
    return replace(build, means=build.means or means)


def with_needs(build: BuildConfig, words: Words, fixed: Sequence[str] = ()) -> BuildConfig:
    """Return the build with what weights of these words need; ``fixed`` fields stay."""
    return replace(build, **{k: need for k, need in words.needs(build).items() if k not in fixed})


def check_words(device: str, build: BuildConfig, words: Words) -> None:
    """Raise `ConfigError` if a build lacks what weights of these words need.

    Parameters
    ----------
    device : str
        Class of the device, for the line.
    build : BuildConfig
    words : Words
    """
    for name, needed in words.needs(build).items():
        if (has := getattr(build, name)) != needed:
            raise ConfigError(
                f"build.{name}",
                f"expected {str(needed).lower()} for a device of class {device}, "
                f"got {str(has).lower()}",
            )


def _rounded(needed: int) -> int:
    """Return a size in steps of an eighth: not every net shall make a build of its own."""
    step = max(1, 1 << max(0, needed.bit_length() - 4))
    return -(-needed // step) * step

"""Records as a host makes and takes them: the golden twins of the gateware's read the same."""

import numpy as np
import pytest

from ohmgrid.config import BuildConfig
from ohmgrid.host.driver import Examples
from ohmgrid.host.protocol import Op, command, table_command
from ohmgrid.host.records import RecordMaker, RecordTaker
from ohmgrid.model.core.example_store import ExampleMemory, SdramExampleMemory, decode_example
from ohmgrid.model.link.records import pack_answer, pack_result, unpack
from ohmgrid.registers.examples import PIXELS, ExampleFormat, most_kept
from ohmgrid.registers.map import TABLES


class Board:
    """What comes out of records, in the order in which it comes."""

    def __init__(self):
        self.form, self.table = ExampleFormat(16, 1), np.zeros(PIXELS, np.int16)
        self.keeps, self.kept = 0, list[bytes]()

    def take(self, data: bytes) -> list[int]:
        """Return commands and words; of an example its label, then its values."""
        taken, used = unpack(data)
        assert used == len(data)
        came = []
        for what, value in taken:
            if what == "form":
                self.form = ExampleFormat(int(value[0]), int(value[2]), bool(value[1]))
            elif what == "pixel":
                self.table[value[0]] = value[1]
            elif what == "keep":
                self.keeps = int(value[0]) & 1
                if int(value[0]) & 2:
                    self.kept.clear()
            elif what == "example" and self.keeps:
                self.kept.append(bytes(value))
            elif what in ("example", "order"):
                data = self.kept[int(value[0])] if what == "order" else bytes(value)
                assert (what == "order") == self.keeps
                example = decode_example(data, self.form, self.table)
                assert example.errors == 0
                came += [example.label, *example.values.tolist()]
            else:
                came.append(value[0])
        return came


def grey(rng: np.random.Generator, count: int, levels: int, width: int) -> Examples:
    pixels = rng.integers(0, levels, (count, width)) * 37 - 90
    return Examples(rng.integers(0, 10, count), pixels)


def test_items_arrive_in_their_order(rng):
    maker, board = RecordMaker(), Board()
    for _ in range(40):
        items, want = [], []
        for _ in range(int(rng.integers(1, 6))):
            match rng.integers(4):
                case 0:
                    first = int(rng.integers(0, 900))
                    data = [int(rng.integers(0, 1 << int(rng.integers(1, 41)))) for _ in range(9)]
                    writes = [
                        table_command(TABLES["gain"], first + k, entry, int(rng.integers(2)))
                        for k, entry in enumerate(data)
                    ]
                    items += writes
                    want += writes
                case 1:
                    one = command(Op.FORWARD, int(rng.integers(24)))
                    items.append(one)
                    want.append(one)
                case 2:
                    bits = int(rng.choice([10, 16, 18]))
                    words = rng.integers(-(1 << bits - 1), 1 << bits - 1, int(rng.integers(0, 50)))
                    items.append(words)
                    want += words.tolist()
                case 3:
                    levels = int(rng.choice([2, 9, 200, 800]))
                    examples = grey(rng, int(rng.integers(1, 5)), levels, int(rng.choice([5, 30])))
                    items.append(examples)
                    want += examples.words().tolist()
        assert board.take(b"".join(maker.make(items))) == want


def test_long_words_and_labels_alone_arrive(rng):
    maker, board = RecordMaker(), Board()
    words = rng.integers(-9, 9, 70_000)
    assert board.take(b"".join(maker.make([words]))) == words.tolist()
    labels = Examples(np.array([3, 4]), np.zeros((2, 0), np.int64))
    assert board.take(b"".join(maker.make([labels]))) == [3, 4]


def test_pictures_take_few_bytes(rng):
    """A form is told once; a table of a device takes 2 bytes an entry, not 10."""
    maker, pictures = RecordMaker(), grey(rng, 10, 16, 64)
    pictures.pixels[rng.random(pictures.pixels.shape) < 0.5] = -90
    sizes = [len(b"".join(maker.make([pictures]))) for _ in range(2)]
    assert sizes[1] < 10 * (64 / 2 + 9)
    assert sizes[0] - sizes[1] == 4 + 4 + 2 * 16
    table = [table_command(TABLES["gain"], k, 2000) for k in range(1000)]
    assert len(b"".join(maker.make(table))) == 1 + 10 + 3 + 2 * 1000


@pytest.mark.parametrize("where", ["bram", "sdram"])
def test_examples_that_a_board_keeps_are_ordered(where, rng):
    """Sets that fit are loaded; what comes then arrives as it is, kept or not, in any form."""
    for _ in range(12):
        maker, board = RecordMaker(), Board()
        build = BuildConfig(store=int(rng.integers(1, 90)) * 32, store_in=where)
        sets = [grey(rng, int(rng.integers(1, 60)), 40, 20) for _ in range(2)]
        sets[0].pixels[: len(sets[0].labels) // 2] = sets[0].pixels[0]
        sets[0].labels[: len(sets[0].labels) // 2] = sets[0].labels[0]
        assert board.take(b"".join(maker.keep(sets, build))) == []
        assert maker.kept == len(board.kept) == len(set(board.kept))
        golden = (
            SdramExampleMemory(build.store)
            if where == "sdram"
            else ExampleMemory(build.store, most_kept(build))
        )
        for data in board.kept:
            golden.keep(data)
        assert golden.errors == 0
        for _ in range(4):
            one = sets[int(rng.integers(2))]
            some = rng.integers(0, len(one.labels), 9)
            items = [Examples(one.labels[some], one.pixels[some]), grey(rng, 3, 40, 20)]
            sent = b"".join(maker.make(items[:1]))
            assert board.take(sent) == items[0].words().tolist()
            assert board.take(b"".join(maker.make(items[1:]))) == items[1].words().tolist()
        assert maker.kept == len(board.kept)
        wide = grey(rng, 4, 800, 20)
        wide.pixels[0] = 32_000
        assert board.take(b"".join(maker.make([wide]))) == wide.words().tolist()
        assert maker.kept == 0


def test_a_set_is_kept_whole_or_not_at_all(rng):
    sets = [grey(rng, count, 40, 20) for count in (40, 400, 8)]
    for where in ("bram", "sdram"):
        maker = RecordMaker()
        b"".join(maker.keep(sets, BuildConfig(store=3200, store_in=where)))
        assert maker.kept == 48
        assert len(b"".join(maker.make([sets[0]]))) == 1 + 2 + 3 * 40
        # The board takes orders now, and has to be told that these come at once.
        assert b"".join(maker.make([sets[1]]))[:3] == bytes([8, 0, 5])


def test_what_a_board_says_is_read(rng):
    results = [int(v) >> int(rng.integers(0, 40)) for v in rng.integers(-(1 << 39), 1 << 39, 40)]
    answers = [int(v) for v in rng.integers(0, 1 << 63, 20)]
    answers += [Op.COUNT | hit << 16 | 77 << 32 for hit in (0, 1)]
    data = b"".join([*map(pack_result, results), *map(pack_answer, answers)])
    taker = RecordTaker()
    for at in range(0, len(data), 7):
        taker.take(data[at : at + 7])
    assert (taker.results, taker.answers) == (results, answers)
    with pytest.raises(ValueError, match="board: expected a record, got the tag 0x99"):
        taker.take(bytes([0x99]) + bytes(20))

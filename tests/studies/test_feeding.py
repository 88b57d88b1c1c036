"""What a way of feeding a core reaches: against bytes counted on a line, and simulated stores."""

import threading

import numpy as np
import pytest

from ohmgrid.config import BuildConfig, Config
from ohmgrid.gateware.board import BoardCore
from ohmgrid.hdl.core.example_store import ExampleStore
from ohmgrid.host.examples import choose_encoding, encode_example
from ohmgrid.net import Net
from ohmgrid.registers.examples import BITS, ExampleFormat
from ohmgrid.sim.cxxrtl.library import build
from ohmgrid.sim.sdram_boards import SdramStore
from ohmgrid.studies.feeding import feeding
from ohmgrid.studies.paced_board import PacedBoard
from ohmgrid.training.data import load_data

HZ, BAUD = 80_000_000, 3_000_000
STORE = 1 << 16
COUNT = 300


def digits() -> tuple[np.ndarray, np.ndarray]:
    formats = Config().formats
    data = load_data("digits", formats.x_frac, formats.edge_bits)
    return data.train_x[:COUNT], data.train_labels[:COUNT]


def sent_bytes(store: int, times: int) -> float:
    """Return the bytes of an example that a host writes to a board without or with a store."""
    config = Config(build=BuildConfig(lanes=4, words=2048, store=store))
    board, stop = PacedBoard(config, 20_000_000), threading.Event()
    thread = threading.Thread(target=board.serve, args=(stop.is_set,), daemon=True)
    thread.start()
    core, (pixels, labels) = BoardCore(config, Net((64, 10)), board.port), digits()
    core.initialise()
    core.keep([(pixels, labels)])
    # Tables and forms go once.
    core.train(pixels, labels, 0.1)
    written = []
    for count in (1, times):
        before = core.link.written
        core.train(np.tile(pixels, (count, 1)), np.tile(labels, count), 0.1)
        written.append(core.link.written - before)
    core.close()
    stop.set()
    thread.join()
    board.close()
    return (written[1] - written[0]) / COUNT / (times - 1)


def test_bytes_on_a_line_are_those_that_are_counted():
    rows = {row.way: row for row in feeding(*digits(), BuildConfig(store=STORE), BAUD, HZ, 9000.0)}
    assert rows["bram"].there
    assert not rows["sdram"].there
    for way, store, times in (("uart runs", 0, 4), ("uart order", STORE, 30)):
        found, row = sent_bytes(store, times), rows[way]
        # A host's acknowledgements come on top, and frames that are sent before they are full.
        assert row.bytes_an_example <= found < row.bytes_an_example + 0.6
        assert row.examples_per_s == pytest.approx(BAUD / 10 / row.bytes_an_example)
    assert rows["uart order"].examples_per_s > 12 * rows["uart runs"].examples_per_s
    assert rows["uart raw"].bytes_an_example > rows["uart runs"].bytes_an_example
    assert rows["core"].examples_per_s == 9000.0


@pytest.mark.slow
@pytest.mark.parametrize("where", ["bram", "sdram"])
def test_a_simulated_store_gives_as_many_examples(where):
    pixels, labels = digits()
    store = BuildConfig(store=STORE, store_in=where)
    row = {row.way: row for row in feeding(pixels, labels, store, BAUD, HZ)}[where]
    form, table, coded = choose_encoding(pixels)
    made = {"bram": lambda: ExampleStore(STORE, 2048), "sdram": lambda: SdramStore(STORE)}[where]
    sim = build(made, "store", identity=f"feeding {where} {STORE}").instance()
    sim.reset()
    load(sim, form, table)
    for label, values in zip(labels, coded, strict=True):
        data = encode_example(int(label), values, form)
        sim.transact({"i": [*data[:-1], data[-1] | 256]}, {}, 100_000)
    sim.step(200)
    words = COUNT * (1 + form.values)
    _, cycles = sim.transact({"order": [*range(COUNT)]}, {"o": words}, 100 * words)
    print(where, cycles / COUNT, HZ / row.examples_per_s)
    assert sim.get("stored") == COUNT
    assert row.there
    assert COUNT * HZ / cycles == pytest.approx(row.examples_per_s, rel=0.03)


def load(sim, form: ExampleFormat, table: np.ndarray) -> None:
    """Load a format and the values of pixels; keep what comes."""
    sim.set("form", BITS.index(form.bits) | form.runs << 2 | form.values << 3)
    for pixel, value in enumerate(table.tolist()):
        sim.set("table", 1 | pixel << 1 | (value & 0xFFFF) << 9)
        sim.step()
    sim.set("table", 0)
    sim.set("kept", 1)

"""Records are taken apart and made as the golden twins do."""

import numpy as np

from ohmgrid.hdl.link.packer import Packer
from ohmgrid.hdl.link.unpacker import Unpacker
from ohmgrid.host.frames import (
    Record,
)
from ohmgrid.host.protocol import Op
from ohmgrid.model.link.records import Fault, pack_answer, pack_result, unpack
from ohmgrid.registers.examples import BITS
from ohmgrid.sim.cxxrtl.library import build

LIMIT = 200_000


def random_records(rng: np.random.Generator) -> bytes:
    """Return records of all kinds; now and then one that is none, at the end."""
    out = bytearray()
    for _ in range(int(rng.integers(1, 12))):
        kind = int(rng.choice(list(Record)))
        out.append(kind)
        count = int(rng.integers(0, 5))
        counted = count.to_bytes(2, "little")
        if kind == Record.COMMAND:
            out += rng.bytes(10)
        elif kind in (Record.WORDS, Record.CELLS):
            out += counted + rng.bytes(kind * count)
        elif kind == Record.TABLE:
            size = int(rng.choice([1, 2, 3, 4, 5, 0, 6], p=[0.19] * 5 + [0.025] * 2))
            out += rng.bytes(10) + counted + bytes([size]) + rng.bytes(size * count)
        elif kind == Record.EXAMPLE:
            out += counted + rng.bytes(count)
        elif kind == Record.FORM:
            out += rng.bytes(3)
        elif kind == Record.PIXELS:
            out += counted + bytes([int(rng.choice([0, 7, 254]))]) + rng.bytes(2 * count)
        elif kind == Record.KEEP:
            out += rng.bytes(1)
        else:
            out += counted + rng.bytes(3 * count)
    if rng.random() < 0.2:
        out.append(int(rng.choice([0, 10, 200])))
    return bytes(out)


FORM_BITS = {bits: place for place, bits in enumerate(BITS)}


def test_records_are_taken_apart_as_the_twin_does(rng):
    """Commands, words, examples and orders in each stream's order; tables and forms as written."""
    library = build(lambda: Unpacker(18), "unpacker")
    for _ in range(60):
        data = random_records(rng)
        fault = False
        try:
            taken, used = unpack(data)
            assert used == len(data)
        except Fault as error:
            [taken], fault = error.args, True
        sim = library.instance()
        sim.reset()
        want = {"cmd": [], "words": [], "examples": [], "order": []}
        form, kept, pixels = (0, 0, 0), 0, []
        for what, value in taken:
            if what == "example":
                assert isinstance(value, bytes)
                want["examples"] += [*value[:-1], value[-1] | 1 << 8]
            elif what == "pixel":
                pixels.append((value[0], value[1]))
            elif what == "form":
                form = FORM_BITS[value[0]], value[1], value[2]
            elif what == "keep":
                kept = value[0] & 1
            else:
                place = {"command": "cmd", "word": "words", "order": "order"}[what]
                want[place].append(value[0])
        counts = {name: len(words) for name, words in want.items()}
        line = np.frombuffer(data, np.uint8)
        idle = {name: float(rng.choice([0.0, 0.3, 0.8])) for name in ("i", *counts)}
        if fault:
            found, taken_in = sim.pump({"i": line}, counts, LIMIT)
            assert taken_in["i"] <= len(line)
        else:
            found, _ = sim.transact({"i": line}, counts, LIMIT, idle, int(rng.integers(2**32)))
        sim.step(8)
        assert [int(a) + (int(b) << 64) for a, b in found["cmd"]] == want["cmd"]
        assert found["words"].tolist() == [word % (1 << 18) for word in want["words"]]
        assert found["examples"].tolist() == want["examples"]
        assert found["order"].tolist() == want["order"]
        assert sim.get("form") == form[0] | form[1] << 2 | form[2] << 3
        assert (sim.get("kept"), sim.get("fault"), sim.get("busy")) == (kept, fault, 0)


def test_results_and_answers_become_records_as_in_the_twin(rng):
    library = build(Packer, "packer")
    for _ in range(20):
        wide = rng.integers(-(1 << 39), 1 << 39, 20)
        results = [int(v) >> int(rng.integers(0, 40)) for v in wide]
        results += [(1 << 23) - 1, 1 << 23, -(1 << 23), -(1 << 23) - 1]
        answers = [int(a) for a in rng.integers(0, 1 << 63, 10)]
        answers += [Op.COUNT | int(rng.integers(2)) << 16 | int(a) << 32 for a in
                    rng.integers(0, 1 << 32, 10)]  # fmt: skip
        answers += [Op.COUNT | 1 << 8, Op.COUNT | 1 << 17, Op.COUNT | 1 << 31]
        for stream, words, pack in (("o", results, pack_result), ("r", answers, pack_answer)):
            want = b"".join(pack(word) for word in words)
            values = np.array([w % (1 << (40 if stream == "o" else 64)) for w in words], np.uint64)
            sim = library.instance()
            sim.reset()
            idle = float(rng.choice([0.0, 0.5]))
            found, _ = sim.transact({stream: values}, {"w": len(want)}, LIMIT, idle)
            assert found["w"].astype(np.uint8).tobytes() == want

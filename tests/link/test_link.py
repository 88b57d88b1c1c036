"""The link's gateware equals its golden twins, whatever comes over the line."""

import numpy as np
import pytest
from hypothesis import strategies as st

from ohmgrid.hdl.link.endpoint import Endpoint as EndpointGateware
from ohmgrid.hdl.link.packer import Packer
from ohmgrid.hdl.link.unpacker import Unpacker
from ohmgrid.host.frames import (
    MOST_PAYLOAD,
    Frame,
    FrameType,
    Record,
    decode_frame,
    encode_frame,
)
from ohmgrid.host.protocol import Op
from ohmgrid.model.link.endpoint import Endpoint
from ohmgrid.model.link.records import Fault, pack_answer, pack_result, unpack
from ohmgrid.registers.examples import BITS
from ohmgrid.sim.cxxrtl.library import build

SEEDS = st.integers(0, 2**32 - 1)
ROOM = 512
IDENTITY = bytes(range(1, 251)) + b"\0tail"
LIMIT = 200_000


def test_a_frame_comes_back_as_it_went(rng):
    for size in (0, 1, 2, 239, MOST_PAYLOAD):
        frame = Frame(1, 2, 0x1234, rng.integers(0, 3, size, dtype=np.uint8).tobytes())
        line = encode_frame(frame)
        assert line.index(0) == len(line) - 1 <= 4 + size + 4 + 1
        assert decode_frame(line[:-1]) == frame
    with pytest.raises(ValueError, match="payload: expected at most 240 bytes, got 241"):
        encode_frame(Frame(1, 2, 3, bytes(241)))


class Board:
    """The gateware's endpoint; nothing is on its way between two calls."""

    def __init__(self):
        self.sim = build(lambda: EndpointGateware(IDENTITY, ROOM), "endpoint").instance()
        self.sim.reset()

    def _rest(self, most: int = 4096) -> bytes:
        """Return what comes until all is still."""
        words, _ = self.sim.pump({}, {"tx": most}, 2000)
        data = words["tx"].astype(np.uint8).tobytes()
        return data if not self.sim.get("busy") else data + self._rest(most)

    def take(self, data: bytes) -> bytes:
        """Give it bytes of the line; return those that it answers."""
        line = np.frombuffer(data, np.uint8)
        words, moved = self.sim.pump({"rx": line}, {"tx": 4096}, len(line) + 1)
        assert moved["rx"] == len(data)
        return words["tx"].astype(np.uint8).tobytes() + self._rest()

    def read(self, most: int) -> bytes:
        words, _ = self.sim.pump({}, {"o": most}, 3 * most + 10)
        return words["o"].astype(np.uint8).tobytes()

    def write(self, data: bytes) -> bytes:
        line = np.frombuffer(data, np.uint8)
        words, moved = self.sim.pump({"i": line}, {"tx": 4096}, len(line) + 1)
        assert moved["i"] == len(data)
        return words["tx"].astype(np.uint8).tobytes() + self._rest()


def blocks(line: bytes) -> list[Frame | None]:
    """Return the frames of a line, the clock of a status left out."""
    frames = []
    assert line[-1:] in (b"", b"\0")
    for block in line.split(b"\0")[:-1]:
        frame = decode_frame(block)
        if frame and frame.type == FrameType.STATUS:
            frame = frame._replace(payload=frame.payload[:-4])
        frames.append(frame)
    return frames


def random_frame(rng: np.random.Generator, twin: Endpoint) -> bytes:
    """Return a frame that is right, or wrong in any way that one can think of."""
    session = twin.session if rng.random() < 0.8 else int(rng.integers(256))
    kind = int(rng.choice([1, 1, 1, 1, 2, 2, 3, 4, 5, int(rng.integers(256))], p=[0.15] * 4
                          + [0.1, 0.1, 0.02, 0.06, 0.06, 0.06]))  # fmt: skip
    payload = rng.integers(0, rng.choice([2, 256]), int(rng.integers(0, MOST_PAYLOAD + 1)))
    offset = twin._expected
    if kind == FrameType.ACK:
        payload = rng.integers(0, 256, int(rng.choice([1, 1, 1, 1, 0, 2])))
        offset = twin._acked + int(rng.integers(0, len(twin._given) + 1))
    elif kind != FrameType.DATA and rng.random() < 0.8:
        payload = payload[:0]
    if kind == FrameType.IDENTITY:
        offset = int(rng.choice([0, 240, 100, len(IDENTITY), 65535]))
    if rng.random() < 0.1:
        offset += int(rng.integers(-3, 300))
    line = bytearray(
        encode_frame(Frame(kind, session, offset % 65536, payload.astype(np.uint8).tobytes()))
    )
    match rng.integers(16):
        case 0:
            line[int(rng.integers(len(line)))] ^= 1 << int(rng.integers(8))
        case 1:
            del line[: int(rng.integers(len(line)))]
        case 2:
            line = bytearray(rng.integers(0, 256, int(rng.integers(1, 600)), dtype=np.uint8))
        case 3:
            line = line * 2
        case 4:
            line = bytearray(int(rng.integers(1, 4)))
        case 5:
            cut = int(rng.integers(len(line)))
            del line[cut : cut + int(rng.integers(1, 5))]
    return bytes(line)


def test_an_endpoint_does_what_its_twin_does(rng):
    """Frames good and bad, bytes read and written at any moment: the same frames come back."""
    board, twin = Board(), Endpoint(IDENTITY, ROOM)
    first = encode_frame(Frame(FrameType.RESET, 7, 0))
    for step in range(600):
        what = 0 if step < 2 else int(rng.integers(6))
        if what < 4:
            data = first if step == 0 else random_frame(rng, twin)
            # One after the other, and whole: what is owed twice is paid once.
            for block in data.rstrip(b"\0").split(b"\0"):
                found = board.take(block + b"\0")
                twin.take(block + b"\0")
                assert blocks(found) == blocks(twin.frames()), step
            continue
        if what == 4:
            # Not beyond the byte from which on an ACK is owed: it says how much was read then.
            most = int(rng.integers(1, ROOM // 4 - twin._limit + twin._announced + 1))
            expected = twin.read(most)
            assert board.read(most) == expected
            found = board._rest()
        else:
            data = rng.integers(0, 3, int(rng.integers(0, twin.space + 1)), dtype=np.uint8)
            twin.write(data.tobytes())
            found = board.write(data.tobytes())
        assert blocks(found) == blocks(twin.frames()), (step, what)


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

"""The host's end of the link, over lines that lose, cut and change what they carry."""

import numpy as np
import pytest

from ohmgrid.host import link as link_module
from ohmgrid.host.frames import Frame, FrameType, encode_frame
from ohmgrid.host.identity import BoardError
from ohmgrid.host.link import Link, SessionLost
from ohmgrid.studies.bad_cable import IDENTITY, Cable, Echo, exchanged


@pytest.fixture(autouse=True)
def hasty(monkeypatch):
    """No real board is slow here: whoever waits for one does not wait long."""
    for name, seconds in (("RETRY_S", 0.002), ("SILENT_S", 0.5), ("STALLED_S", 20.0)):
        monkeypatch.setattr(link_module, name, seconds)


@pytest.mark.parametrize("damage", [0.0, 0.05, 0.3])
def test_no_byte_is_lost_and_none_comes_twice(damage, rng):
    board = Echo()
    cable = Cable(board, rng, 0.0)
    link = Link(cable)
    assert link.identity() == IDENTITY
    link.begin()
    cable.damage = damage
    for size in (1, 700, 15_000, 3):
        data = rng.integers(0, 4, size, dtype=np.uint8).tobytes()
        assert exchanged(link, data, int(rng.integers(1, 1000))) == data
    assert board.starts == 1


def test_a_host_that_went_back_for_nothing_believes_the_board(monkeypatch):
    """All had come, in frames that end where the room does: frames of other sizes do not."""
    monkeypatch.setattr(link_module, "STALLED_S", 1.0)
    board = Echo()
    cable = Cable(board)
    link = Link(cable)
    link.begin()
    for size in (32, 2000):
        link._queue += bytes(size)
        link._fill(more=False)
    cable._back.clear()  # the answers are lost
    assert len(board.taken) == link._sent == board.end.room
    link._sent = link._acked
    link.exchange([], lambda: len(link.came) >= 2032)
    assert len(board.taken) == 2032


def test_a_cable_that_was_pulled_costs_nothing(rng):
    board = Echo()
    cable, lines = Cable(board), []
    link = Link(cable, lines.append, gone_s=5.0)
    link.begin()
    data = rng.integers(0, 256, 5000, dtype=np.uint8).tobytes()

    def pieces():
        for at in range(0, len(data), 100):
            cable.pulled |= at in (1000, 4000)
            yield data[at : at + 100]

    real = cable.open

    def back():
        cable.pulled = cable.opens % 3 != 0
        real()

    cable.open = back
    link.exchange(pieces(), lambda: len(link.came) >= len(data))
    assert bytes(link.came) == bytes(board.taken) == data
    assert board.starts == 1
    assert any("waiting up to 5 s" in line for line in lines)
    assert lines[-1] == "cable: it is back"


def test_a_board_that_began_anew_has_lost_the_state(rng):
    board = Echo()
    cable = Cable(board)
    link = Link(cable, gone_s=5.0)
    link.begin()

    def pieces():
        yield bytes(1000)
        cable.pulled = True
        yield bytes(1000)

    def back():
        cable.board, cable.pulled = Echo(), False

    cable.open = back
    with pytest.raises(SessionLost, match="cable: the board has begun anew, and forgot"):
        link.exchange(pieces(), lambda: False)
    link.begin()
    assert exchanged(link, b"anew") == b"anew"


def test_a_cable_that_stays_away_gets_its_line():
    cable = Cable(Echo())
    link = Link(cable, gone_s=0.3)
    link.begin()
    cable.pulled = True
    with pytest.raises(BoardError, match=r"cable: the board did not come back within 0 s \(cable"):
        link.exchange([b"data"], lambda: False)


def test_silence_and_noise_are_told_apart(rng):
    class Silent(Echo):
        def line(self, data: bytes) -> bytes:
            return b""

    class Noise(Echo):
        def line(self, data: bytes) -> bytes:
            return rng.bytes(30)

    with pytest.raises(BoardError, match="cable: expected a board of ohmgrid, got no answer"):
        Link(Cable(Silent())).begin()
    with pytest.raises(BoardError, match=r"bytes that are no frames of one; is its rate .*@BAUD"):
        Link(Cable(Noise())).identity()


def test_a_fault_of_the_stream_gets_its_line():
    board = Echo()
    link = Link(Cable(board))
    link.begin()
    board.end.fault = True
    with pytest.raises(BoardError, match="cable: the board took the stream for none"):
        link.exchange([b"data"], lambda: False)
    link.begin()
    assert exchanged(link, b"again") == b"again"


def test_a_session_is_another_one_than_that_at_work():
    """What a host that is gone has left on its way belongs to no session any more."""
    board = Echo()
    for _ in range(300):
        before = board.end.session
        link = Link(Cable(board))
        link.begin()
        assert board.end.session not in (0, before)
        late = encode_frame(Frame(FrameType.DATA, before, 0, b"late"))
        board.line(late)
        assert not board.taken

"""The gateware's end of the link equals its golden twin, whatever comes over the line."""

import numpy as np
import pytest

from ohmgrid.host.frames import (
    MOST_PAYLOAD,
    Frame,
    decode_frame,
    encode_frame,
)
from ohmgrid.studies.link_fuzz import LinkFuzz


def test_a_frame_comes_back_as_it_went(rng):
    for size in (0, 1, 2, 239, MOST_PAYLOAD):
        frame = Frame(1, 2, 0x1234, rng.integers(0, 3, size, dtype=np.uint8).tobytes())
        line = encode_frame(frame)
        assert line.index(0) == len(line) - 1 <= 4 + size + 4 + 1
        assert decode_frame(line[:-1]) == frame
    with pytest.raises(ValueError, match="payload: expected at most 240 bytes, got 241"):
        encode_frame(Frame(1, 2, 3, bytes(241)))


def test_an_endpoint_does_what_its_twin_does(rng):
    """Frames good and bad, bytes read and written at any moment: the same frames come back."""
    fuzz = LinkFuzz(int(rng.integers(1 << 32)))
    for _ in range(700):
        fuzz.step()
    assert all(fuzz.kinds.values())

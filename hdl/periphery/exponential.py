"""Exponentials of distances from a maximum: stages of a pipeline, up to the last product."""

from amaranth.hdl import Array, Const, Mux, Value, unsigned
from amaranth.lib.memory import Memory

from ohmgrid.hdl.base.timed import Stages, Timed
from ohmgrid.hdl.periphery.function_job import Choice
from ohmgrid.registers.layers import FINE_BITS, INDEX_SHIFT, SHARE_BITS, TABLE_SIZE, exp_tables

__all__ = ["exponential_of"]

PART = "exponential"
INDEX_BITS = (TABLE_SIZE - 1).bit_length()
CYCLES = 4
"""Cycles from a distance to the entries of the tables."""


def exponential_of(pipe: Stages, choice: Choice, scaled: Timed, time: int) -> tuple[Timed, Timed]:
    """Return the entries of the coarse (0 in other jobs) and of the fine table.

    Parameters
    ----------
    pipe : Stages
    choice : Choice
    scaled : Timed
        Scaled distance, 0 or below.
    time : int
        When they are wanted.
    """
    start = time - CYCLES
    scaled = Timed(pipe.at(scaled, start), start)
    half = 1 << (INDEX_SHIFT - 1)
    near = pipe.stage(PART, "near", lambda scaled: half - scaled, scaled)

    def index(near: Value) -> Value:
        far = near[INDEX_SHIFT + INDEX_BITS :].any()
        return near[INDEX_SHIFT:][:INDEX_BITS] | far.replicate(INDEX_BITS)

    place = pipe.stage(PART, "index", index, near)
    tables = exp_tables()
    memory = Memory(shape=unsigned(SHARE_BITS), depth=1 << FINE_BITS, init=tables.fine)
    fine = pipe.read(PART, "fine", memory, place.slice(0, FINE_BITS))
    entries = Array(Const(entry, SHARE_BITS) for entry in tables.coarse)
    upper = Timed(pipe.at(place.slice(FINE_BITS, INDEX_BITS), time - 1), time - 1)
    coarse = pipe.stage(
        PART,
        "coarse",
        lambda upper, share: Mux(share, entries[upper], 0),
        *(upper, choice.share),
    )
    return coarse, fine

"""A block of visits of one lane: what goes in, and what the golden model makes of it.

Whoever runs a lane, in a simulator or as a netlist, sets `LaneVisits.inputs` before each clock
edge, reads `OUTPUTS` before it, and gives them to `LaneVisits.check`.
"""

from collections.abc import Mapping

import numpy as np

from ohmgrid.model.array.array import coincidences, magnitudes
from ohmgrid.model.device.visible import visible

__all__ = ["OUTPUTS", "LaneVisits"]

OUTPUTS = ("weight", "hit", "product", "chain_o")


class LaneVisits:
    """Random words, codes, trains and keys for one block of visits.

    Parameters
    ----------
    rng : numpy.random.Generator
    times : mapping
        Cycles from stage A to each stage (`Lane.times`).
    rows : int
        Words, an even number.
    bits, code_bits : int
        Of a word, of a code.
    by_serial, paired, magnitude, turned : bool
        See `shared_layout`.
    register : int
        ``visible``, 0 where the lane has no write noise.
    read_physics : bool
        Whether the lane knows magnitudes.

    Attributes
    ----------
    inputs : list of dict
        Of each cycle: input, or field of ``shared``, -> value.
    """

    def __init__(
        self,
        rng: np.random.Generator,
        times: Mapping[str, int],
        rows: int,
        bits: int,
        code_bits: int,
        *,
        by_serial: bool,
        register: int,
        paired: bool,
        magnitude: bool,
        read_physics: bool,
        turned: bool,
    ):
        magnitude &= read_physics
        joined = paired and magnitude
        register = 0 if joined else register  # no write noise in a pair
        top = (1 << (bits - 1)) - 1
        words = rng.integers(-top, top + 1, rows)
        words = np.where(rng.random(rows) < 0.2, rng.choice([-top, -1, 0, 1, top], rows), words)
        largest = (1 << (code_bits - 1)) - 1
        codes = rng.integers(-largest, largest + 1, rows + 1)
        trains = rng.integers(0, 2**31, rows + 1)
        trains[: rows // 2] &= 0xF0
        trains[-1] &= 0xF
        signs = rng.integers(0, 2, rows + 1)
        keys = rng.integers(0, 1 << 32, rows + 1, dtype=np.uint32)

        self.inputs: list[dict[str, int]] = [
            {"write": 1, "write_address": row, "write_data": int(words[row])} for row in range(rows)
        ]
        lines = {"code": codes, "train": trains, "sign": signs, "key": keys}
        strobes = ("load", "load_key", "load_code")
        self.inputs.append({"write": 0, **dict.fromkeys(strobes, 1)})
        self.inputs[-1] |= {f"shared.load_{name}": int(all_[-1]) for name, all_ in lines.items()}
        self._start = len(self.inputs)
        for cycle in range(rows + 3 + times["S"]):

            def row_at(time: int, cycle: int = cycle) -> int:
                """Row of a visit that was in stage A so many cycles before."""
                return min(max(cycle - time, 0), rows - 1)

            in_p = cycle - times["P"]
            shared = {
                "by_serial": by_serial,
                "turned": turned,
                "magnitude": magnitude,
                "paired": paired,
                "visible": register,
                "read": cycle < rows,
                "address": row_at(times["A"]),
                "take": cycle == times["A"],
                "take_key": cycle == times["C"],
                "take_code": cycle == times["V"] - 1,
                "visit": 0 <= cycle - times["C"] < rows,
                "serial_train": trains[row_at(times["C"])],
                "serial_sign": signs[row_at(times["C"])],
                "minus": row_at(times["C"]) % 2,
                "serial_key": keys[row_at(times["D"])],
                "serial_code": codes[row_at(times["V"] - 1)],
                "fresh": 0 <= in_p < rows,
                "first": in_p == 0,
                "capture": in_p == rows + 1,
                "move": in_p == rows + 1,
            }
            self.inputs.append({f"shared.{name}": int(value) for name, value in shared.items()})
            self.inputs[-1] |= dict.fromkeys(strobes, 0)

        self._rows, self._times = rows, times
        operand = codes[:rows] if by_serial else np.repeat(codes[-1], rows)
        # Each of the two keys is of all visits or of the one column.
        row_and_column = (keys[-1:], keys[:rows]) if turned else (keys[:rows], keys[-1:])
        seen = visible(words, row_and_column, register, bits)
        if joined:
            # Magnitudes of pairs where there is a minus device.
            seen[1::2] = magnitudes(seen[::2] - seen[1::2], bits, paired=True)
        sized = magnitudes(seen, bits) if magnitude else seen
        self._products = sized.astype(np.int64) * operand
        minus = np.arange(rows) % 2 == 1
        lowers = signs[:rows] == signs[-1]
        pulses = np.array([coincidences(train, trains[-1]) != 0 for train in trains[:rows]])
        self._hits = pulses & (~np.bool_(paired) | (lowers == minus))
        # Of a minus device whose pair is asked for, the word is not what is stored.
        self._words = [
            None if joined and odd else int(w) for w, odd in zip(words, minus, strict=True)
        ]

    def check(self, seen: list[dict[str, int]]) -> None:
        """Compare outputs of all cycles with the model."""
        late = seen[self._start :]
        cells = late[self._times["H"] :][: self._rows]
        for expected, cell in zip(self._words, cells, strict=True):
            assert expected in (None, cell["weight"])
        assert [bool(cell["hit"]) for cell in cells] == self._hits.tolist()
        products = late[self._times["P"] :][: self._rows]
        assert [each["product"] for each in products] == self._products.tolist()
        assert late[-1]["chain_o"] == self._products.sum()

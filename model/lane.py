"""What one lane does with the words of its memory (golden model).

A lane holds one column (input line) at a time and meets all its rows (output lines): it
multiplies in the forward and backward verbs and counts coincident pulses in the update.
"""

import numpy as np

__all__ = ["coincidences", "products"]


def products(words: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Return conductance times DAC code, exact (int64, broadcast shape)."""
    return words.astype(np.int64) * codes


def coincidences(row_trains: np.ndarray, column_trains: np.ndarray) -> np.ndarray:
    """Return the number of slots in which both trains fire (int64, broadcast shape)."""
    return np.bitwise_count(row_trains & column_trains).astype(np.int64)

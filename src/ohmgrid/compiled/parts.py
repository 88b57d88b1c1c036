"""What lies behind the array that passes see, as the kernels of a core take it."""

from typing import NamedTuple

from ohmgrid.compiled.cells import Cells
from ohmgrid.compiled.mixed import Mixed
from ohmgrid.compiled.population import Array
from ohmgrid.compiled.readout import Reading
from ohmgrid.compiled.transfer import Hidden, Transfers
from ohmgrid.compiled.updates import Physics

__all__ = ["CELLS", "CHAIN", "MIXED", "PLAIN", "TRANSFERS", "Parts"]

PLAIN, TRANSFERS, MIXED, CELLS, CHAIN = range(5)
"""How a tile learns: updates pulse the array that passes see; a fast array, of which columns are
transferred; sums, of which rows are written; all devices of a cell, or one; the first of arrays
that hand on to one another."""


class Parts(NamedTuple):
    """What a tile has beside that array; of what it has not, nothing."""

    way: int
    """How it learns."""
    hidden: Hidden
    transfers: Transfers
    mixed: Mixed
    cells: Cells

    @classmethod
    def plain(cls, array: Array, reading: Reading, physics: Physics) -> "Parts":
        """Return those of a tile that has nothing else."""
        return cls(
            PLAIN,
            Hidden.none(array, reading),
            Transfers.none(),
            Mixed.none(),
            Cells.none(array, physics),
        )

"""What a core does by itself between two multiplications of a net. Standard library only."""

from enum import IntEnum

__all__ = ["Func"]


class Func(IntEnum):
    """What is made of the results of a multiplication (`ohmgrid.hdl.periphery.functions`)."""

    VALUE = 0
    """Activations of results."""
    BELOW = 1
    """Errors at the outputs of the layer below, of results of a backward pass."""
    SHARE = 2
    """Exponentials of the distances from the largest result."""
    SQUARED = 3
    """Errors of outputs under a squared error."""

"""PyTorch on arrays: layers, optimiser, and configurations by the names of the reference simulator.

Names are as in aihwkit, all in one place: ``from ohmgrid.torch import AnalogLinear, AnalogSGD``.
docs/torch.md says what is the same and what is not.
"""

from typing import Any

from ohmgrid.torch.chain import AnalogSequential
from ohmgrid.torch.configs import CLASSES, ENUMS, build_config, cuda
from ohmgrid.torch.convert import convert_to_analog
from ohmgrid.torch.layers import AnalogConv2d, AnalogLayer, AnalogLinear
from ohmgrid.torch.loss import CrossEntropyLoss
from ohmgrid.torch.optim import AnalogSGD
from ohmgrid.torch.rnn import AnalogLSTMCell, AnalogRNN, AnalogVanillaRNNCell

__all__ = [
    "AnalogConv2d",
    "AnalogLSTMCell",
    "AnalogLayer",
    "AnalogLinear",
    "AnalogRNN",
    "AnalogSGD",
    "AnalogSequential",
    "AnalogVanillaRNNCell",
    "CrossEntropyLoss",
    "build_config",
    "convert_to_analog",
    "cuda",
]

_NAMED = CLASSES | ENUMS


def __getattr__(name: str) -> Any:
    """Return a configuration, device, preset or enumeration by its name there."""
    if name in _NAMED:
        return _NAMED[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, *_NAMED]

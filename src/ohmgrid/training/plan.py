"""What is trained, beside the tile's configuration: the table ``[training]`` of a configuration."""

import re
from dataclasses import dataclass

from ohmgrid.datasets.scaling import MOST_POOL, SCALES
from ohmgrid.doors.checks import (
    ConfigError,
    check_choice,
    check_float,
    check_int,
    is_line,
    make_plain,
    shown,
)
from ohmgrid.net import Net
from ohmgrid.training.data import Dataset, Preparation, parse_crop

__all__ = ["Plan"]

_SIZES = re.compile(r"[0-9]{1,6}(-[0-9]{1,6})*")


@dataclass(frozen=True)
class Plan:
    """What is trained, beside the tile's configuration."""

    data: str = "digits"
    """``digits``, ``mnist`` or the path of a file or a folder."""
    crop: str = ""
    """``HEIGHTxWIDTH``, or empty for whole images."""
    layers: str = "64-32-10"
    activation: str = "sigmoid"
    loss: str = "cross-entropy"
    lr: float = 0.1
    lr_decay: float = 1.0
    """What the learning rate is multiplied with after each epoch."""
    epochs: int = 10
    pool: int = 1
    """Side of the squares of pixels of which the mean is taken; 1 leaves images as they are."""
    scale: str = "none"
    """``minmax`` or ``standard`` scale inputs by what the training part has; ``none`` does not."""
    label: str = ""
    """Column of a table with the labels: ``first``, ``last`` or its name; empty: it is found."""
    weights: str = ""
    """Run or file with the weights to begin with; empty: hashed from the seed."""
    g_max: float = 0.0
    """Largest conductance of that file in microsiemens; 0: it holds weights."""
    original: str = ""
    """Weights of which that file has the conductances: signs and scales."""

    def __post_init__(self) -> None:
        make_plain(self)
        for name in ("data", "crop", "layers", "label", "weights", "original"):
            value = getattr(self, name)
            if not is_line(value):
                raise ConfigError(name, f"expected a text in one line, got {shown(value)}")
        if self.crop:
            parse_crop(self.crop)
        check_int("pool", self.pool, 1, MOST_POOL)
        check_float("g_max", self.g_max, 0.0, 1e6)
        check_choice("scale", self.scale, SCALES)
        check_float("lr", self.lr, 1e-6, 1000.0)
        check_float("lr_decay", self.lr_decay, 0.01, 1.0)
        check_int("epochs", self.epochs, 1, 100000)
        self.net()

    def net(self) -> Net:
        """Return the net."""
        if _SIZES.fullmatch(self.layers) is None:
            raise ConfigError(
                "layers", f"expected sizes such as 64-32-10, got {shown(self.layers)}"
            )
        sizes = tuple(map(int, self.layers.split("-")))
        return Net(sizes, self.activation, self.loss)

    def rate(self, epoch: int) -> float:
        """Return the learning rate in an epoch, counted from 0; 1e-6 at least."""
        rate = self.lr
        # A product after the other rounds the same on every machine.
        for _ in range(epoch):
            rate *= self.lr_decay
        return max(rate, 1e-6)

    def preparation(self) -> Preparation:
        """Return what becomes of the examples, with nothing learned of them."""
        crop = parse_crop(self.crop) if self.crop else None
        return Preparation(crop, self.pool, self.scale, self.label)

    def check_fits(self, data: Dataset) -> None:
        """Raise `ConfigError` unless the net's first and last layer fit the data."""
        layers = self.net().layers
        if layers[0] != data.inputs:
            shape = "x".join(map(str, data.image))
            raise ConfigError(
                "layers",
                f"expected {data.inputs} inputs for {data.name} ({shape}), got {layers[0]}",
            )
        if layers[-1] < data.classes:
            raise ConfigError(
                "layers",
                f"expected at least {data.classes} outputs for {data.name}, got {layers[-1]}",
            )

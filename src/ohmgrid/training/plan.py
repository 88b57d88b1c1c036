"""What is trained, beside the tile's configuration: the table ``[training]`` of a configuration."""

import re
from dataclasses import dataclass

from ohmgrid.doors.checks import ConfigError, check_float, check_int, is_line, make_plain, shown
from ohmgrid.net import Net
from ohmgrid.training.data import Dataset, parse_crop

__all__ = ["Plan"]

_SIZES = re.compile(r"[0-9]{1,6}(-[0-9]{1,6})*")


@dataclass(frozen=True)
class Plan:
    """What is trained, beside the tile's configuration."""

    data: str = "digits"
    """``digits``, ``mnist`` or the path of an .npz file."""
    crop: str = ""
    """``HEIGHTxWIDTH``, or empty for whole images."""
    layers: str = "64-32-10"
    activation: str = "sigmoid"
    loss: str = "cross-entropy"
    lr: float = 0.1
    epochs: int = 10

    def __post_init__(self) -> None:
        make_plain(self)
        for name in ("data", "crop", "layers"):
            value = getattr(self, name)
            if not is_line(value):
                raise ConfigError(name, f"expected a text in one line, got {shown(value)}")
        if self.crop:
            parse_crop(self.crop)
        check_float("lr", self.lr, 1e-6, 1000.0)
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

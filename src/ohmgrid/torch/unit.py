"""What a layer of a torch model is computed by: a core, and the parameter that stands for it."""

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from ohmgrid.config import BuildConfig, Config, LayoutConfig
from ohmgrid.core import Core
from ohmgrid.doors.checks import ConfigError
from ohmgrid.doors.schema import parse_toml
from ohmgrid.engines import make_core
from ohmgrid.floats.tile import programmed, weights_of, with_room
from ohmgrid.model.core.core import Core as RunningCore
from ohmgrid.model.core.passage import Passage
from ohmgrid.net import Net
from ohmgrid.tile import TileState
from ohmgrid.training.settings import config_to_toml

__all__ = ["AnalogContext", "Unit"]


def _flat(table: dict[str, Any], above: str = "") -> dict[str, Any]:
    """Return the values of tables in tables by their dotted keys."""
    found: dict[str, Any] = {}
    for key, value in table.items():
        if isinstance(value, dict):
            found |= _flat(value, f"{above}{key}.")
        else:
            found[f"{above}{key}"] = value
    return found


class AnalogContext(torch.nn.Parameter):
    """What an optimiser is given of an array, which moves by pulses alone.

    Its gradient is a number: how many passes went backward since it was cleared. It is a tensor
    once somebody asks for one: to make it takes as long as a small layer.

    Attributes
    ----------
    unit : Unit
    layer : int
        Place of the array in it.
    lr : float or None
        Learning rate of the step that is being taken.
    passes : int
        What went backward and is not in the tensor yet.
    """

    unit: "Unit"
    layer: int
    lr: float | None
    passes: int
    _asked: torch.Tensor | None

    def __new__(cls, unit: "Unit", layer: int, requires_grad: bool = True) -> "AnalogContext":
        made = super().__new__(cls, torch.zeros(()), requires_grad)
        made.unit, made.layer, made.lr = unit, layer, None
        made.grad = None
        return made

    def __init__(self, unit: "Unit", layer: int, requires_grad: bool = True) -> None:
        super().__init__()

    @property
    def grad(self) -> torch.Tensor | None:
        """How many passes went backward; None of none. What is done to it in place, stays."""
        if self.passes:
            before = torch.zeros(()) if self._asked is None else self._asked
            self.passes, self._asked = 0, before + self.passes
        return self._asked

    @grad.setter
    def grad(self, value: torch.Tensor | None) -> None:
        self.passes, self._asked = 0, value

    @property
    def is_clear(self) -> bool:
        """Whether the gradient is None."""
        return not self.passes and self._asked is None

    def count(self) -> int:
        """Return the gradient as a whole number, 0 of none."""
        return self.passes if self._asked is None else self.passes + int(self._asked.item())

    def __deepcopy__(self, memo: dict[int, Any]) -> "AnalogContext":
        if id(self) not in memo:
            unit = copy.deepcopy(self.unit, memo)
            # The copy of a unit brings the copies of all its contexts.
            memo[id(self)] = unit.contexts[self.layer]
        return memo[id(self)]

    def __reduce_ex__(self, protocol: Any) -> Any:
        return _context, (self.unit, self.layer)

    def __repr__(self) -> str:
        return f"AnalogContext(layer {self.layer} of {self.unit.net.layers})"


def _context(unit: "Unit", layer: int) -> AnalogContext:
    return unit.contexts[layer]


class Unit:
    """A core, made when it is first needed, with the arrays of one layer or of several.

    Parameters
    ----------
    engine : str
    config : Config
    net : Net

    Attributes
    ----------
    contexts : list of AnalogContext
        One for each array.
    """

    def __init__(self, engine: str, config: Config, net: Net) -> None:
        self.engine, self.net = engine, net
        self.config = with_room(engine, config, net)
        self.contexts = [AnalogContext(self, layer) for layer in range(len(net.shapes))]
        self._start()

    def _start(self) -> None:
        self._core: RunningCore | None = None
        self._alone: dict[int, RunningCore] = {}
        # Passages that went backward, and of which array: all of them, or one.
        self._waiting: list[tuple[Passage, int | None]] = []
        self._saved: tuple[list[TileState], int | None] | None = None
        self.last: Passage | None = None
        """The passage begun last."""

    def __getstate__(self) -> dict[str, Any]:
        frozen = [context.requires_grad for context in self.contexts]
        own = {"engine": self.engine, "config": self.config, "net": self.net}
        return own | {"learn": frozen, "saved": self._now()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.engine, self.config, self.net = state["engine"], state["config"], state["net"]
        self.contexts = [AnalogContext(self, n, learns) for n, learns in enumerate(state["learn"])]
        self._start()
        self._saved = state["saved"]

    def _now(self) -> tuple[list[TileState], int | None] | None:
        """Return what `_saved` would be, were the core made anew; None of one not made yet."""
        if self._core is None:
            return self._saved
        # A state without anything hidden holds a view, which is not pickled.
        states = [one._replace(hidden=dict(one.hidden)) for one in self._core.state()]
        return states, self._core.error_exponent

    @property
    def used(self) -> bool:
        """Whether a core was made, or a state loaded."""
        return self._core is not None or self._saved is not None

    @property
    def core(self) -> RunningCore:
        """The core, with its first weights or with what was loaded."""
        if self._core is None:
            core: Core = make_core(self.engine, self.config, self.net)
            assert isinstance(core, RunningCore)  # every engine's is one
            if self._saved is None:
                core.initialise()
            else:
                states, core.error_exponent = self._saved
                core.load(states)
            self._core, self._saved = core, None
        return self._core

    def passage(self, x: np.ndarray) -> Passage:
        """Take examples through all arrays."""
        return self.core.passage(x)

    def passage_alone(self, x: np.ndarray, layer: int) -> Passage:
        """Take examples through one array."""
        if len(self.net.shapes) == 1:
            return self.passage(x)
        if layer not in self._alone:
            tile = self.core.tiles[layer]
            net = Net((tile.cols - 1, tile.rows), loss="squared")
            self._alone[layer] = RunningCore(self.config, net, tiles=[tile])
        return self._alone[layer].passage(x)

    def wait(self, passage: Passage, layer: int | None) -> None:
        """Keep a passage that went backward until an optimiser takes its step."""
        self._waiting.append((passage, layer))
        for context in self.contexts if layer is None else (self.contexts[layer],):
            if context.requires_grad:
                context.passes += 1

    def forget(self) -> None:
        """Drop passages that no step was taken for, where gradients were cleared."""
        if self._waiting and all(context.is_clear for context in self.contexts):
            self._waiting.clear()

    def learn(self) -> None:
        """Apply the updates of passages that wait, as many as the gradient of an array counts.

        Arrays without a learning rate are not of the optimiser that steps: theirs go on waiting.
        """
        contexts = self.contexts
        left = [0 if context.lr is None else context.count() for context in contexts]
        due: list[tuple[Passage, list[float | None]]] = []
        for passage, layer in reversed(self._waiting):
            rates: list[float | None] = []
            for n in range(len(left)) if layer is None else (layer,):
                rates.append((contexts[n].lr or None) if left[n] > 0 else None)
                left[n] -= 1
            due.append((passage, rates))
        for context in contexts:
            if context.lr is not None:
                context.lr = context.grad = None
        if all(context.is_clear for context in contexts):
            self._waiting = []
        for passage, rates in reversed(due):
            if any(rates):
                passage.update(rates)

    def weights(self, layer: int) -> np.ndarray:
        """Return the weights of an array (float64, shape (rows, cols))."""
        return weights_of(self.core, layer, self.core.tiles[layer].state())

    def set_weights(self, layer: int, weights: np.ndarray) -> int:
        """Program the devices of an array; return how many hold another weight."""
        state, lost = programmed(self.core, layer, weights)
        self.core.tiles[layer].load(state)
        return lost

    def state(self, layer: int) -> dict[str, Any]:
        """Return all that an array remembers, as tensors, and as text what it is of."""
        state = self.core.tiles[layer].state()
        exponent = self.core.error_exponent
        parts: dict[str, np.ndarray] = {
            "weights": state.weights,
            "steps": np.array(state.steps, np.int64),
            "error_exponent": np.array([] if exponent is None else [exponent], np.int64),
            **{f"hidden.{name}": array for name, array in state.hidden.items()},
        }
        tensors = {
            name: torch.from_numpy(np.array(part, order="C")) for name, part in parts.items()
        }
        return {"config": self._text(), "array": layer, **tensors}

    def _text(self) -> str:
        return config_to_toml(self.config.replace(build=BuildConfig(), layout=LayoutConfig()))

    def load(self, layer: int, parts: dict[str, Any]) -> None:
        """Take over what `state` returned.

        Raises
        ------
        ConfigError
            It is of another configuration, or of another array of a core.
        ValueError
            It does not fit.
        """
        parts = dict(parts)
        there, own = parse_toml(parts.pop("config")), parse_toml(self._text())
        for key, value in _flat(own).items():
            if _flat(there).get(key) != value:
                raise ConfigError(
                    key, f"expected {value}, got a state with {_flat(there).get(key)}"
                )
        if (place := parts.pop("array")) != layer:
            raise ConfigError("array", f"expected the state of array {layer}, got that of {place}")
        arrays = {name: part.numpy() for name, part in parts.items()}
        hidden = {
            name.removeprefix("hidden."): array
            for name, array in arrays.items()
            if name.startswith("hidden.")
        }
        exponent: Sequence[int] = arrays["error_exponent"].tolist()
        steps = arrays["steps"].tolist()
        self.core.tiles[layer].load(TileState(arrays["weights"], tuple(steps), hidden))
        self.core.error_exponent = exponent[0] if exponent else None

"""Recurrent layers on arrays."""

from typing import Any

import torch
from torch import nn

from ohmgrid.doors.checks import ConfigError, check_int, shown
from ohmgrid.torch.layers import AnalogLinear

__all__ = ["AnalogLSTMCell", "AnalogRNN", "AnalogVanillaRNNCell"]


class _Cell(nn.Module):
    """Two arrays, of the inputs and of what was there before; their results are added."""

    gates = 1

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        rpu_config: Any = None,
        **how: Any,
    ) -> None:
        super().__init__()
        self.input_size, self.hidden_size = input_size, hidden_size
        lines = self.gates * hidden_size
        seed = how.pop("seed", None)
        second = None if seed is None else (seed + 1) % (1 << 64)
        self.weight_ih = AnalogLinear(input_size, lines, bias, rpu_config, seed=seed, **how)
        self.weight_hh = AnalogLinear(hidden_size, lines, bias, rpu_config, seed=second, **how)

    def _sum(self, x: Any, h: Any) -> Any:
        return self.weight_ih(x) + self.weight_hh(h)


class AnalogVanillaRNNCell(_Cell):
    """``h' = tanh(W x + U h)``; state: h, shape (examples, hidden_size)."""

    def get_zero_state(self, batch_size: int) -> Any:
        """Return the state to begin with."""
        return torch.zeros(batch_size, self.hidden_size)

    def forward(self, x: Any, state: Any) -> tuple[Any, Any]:
        """Return output and state."""
        h = torch.tanh(self._sum(x, state))
        return h, h


class AnalogLSTMCell(_Cell):
    """Long short-term memory, gates in the order i, f, g, o; state: (h, c)."""

    gates = 4

    def get_zero_state(self, batch_size: int) -> tuple[Any, Any]:
        """Return the state to begin with."""
        return tuple(torch.zeros(2, batch_size, self.hidden_size).unbind())  # type: ignore[return-value]

    def forward(self, x: Any, state: tuple[Any, Any]) -> tuple[Any, tuple[Any, Any]]:
        """Return output and state."""
        h, c = state
        take, keep, new, give = self._sum(x, h).chunk(4, 1)
        c = torch.sigmoid(keep) * c + torch.sigmoid(take) * torch.tanh(new)
        h = torch.sigmoid(give) * torch.tanh(c)
        return h, (h, c)


class AnalogRNN(nn.Module):
    """Cells over time, layer upon layer.

    Parameters
    ----------
    cell : class
        `AnalogLSTMCell` or `AnalogVanillaRNNCell`.
    input_size, hidden_size : int
    bias, rpu_config
        As of `AnalogLinear`.
    num_layers : int
    batch_first : bool
        Whether sequences are (examples, time, inputs) instead of (time, examples, inputs).
    **how
        ``engine`` and ``seed``; layer n has seeds ``seed + 2 n`` and ``seed + 2 n + 1``.
    """

    def __init__(
        self,
        cell: Any,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        rpu_config: Any = None,
        num_layers: int = 1,
        batch_first: bool = False,
        **how: Any,
    ) -> None:
        super().__init__()
        if not (isinstance(cell, type) and issubclass(cell, _Cell)):
            raise ConfigError("cell", f"expected a class of cells, got {shown(cell)}")
        check_int("num_layers", num_layers, 1, 100)
        seed = how.pop("seed", None)
        sizes = [input_size] + [hidden_size] * (num_layers - 1)
        self.cells = nn.ModuleList(
            cell(
                size,
                hidden_size,
                bias,
                rpu_config,
                seed=None if seed is None else (seed + 2 * n) % (1 << 64),
                **how,
            )
            for n, size in enumerate(sizes)
        )
        self.batch_first = batch_first

    def get_zero_state(self, batch_size: int) -> list[Any]:
        """Return the states of all layers to begin with."""
        return [cell.get_zero_state(batch_size) for cell in self.cells]  # type: ignore[operator]

    def forward(self, x: Any, states: list[Any] | None = None) -> tuple[Any, list[Any]]:
        """Return outputs of the last layer at each time, and the states at the end."""
        steps = list(x.unbind(1 if self.batch_first else 0))
        states = self.get_zero_state(len(steps[0])) if states is None else list(states)
        for n, cell in enumerate(self.cells):
            for time, one in enumerate(steps):
                steps[time], states[n] = cell(one, states[n])
        return torch.stack(steps, 1 if self.batch_first else 0), states

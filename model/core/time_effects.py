"""When the devices of an array leak, diffuse and are refreshed (golden model)."""

from collections.abc import Callable

import numpy as np

from ohmgrid.config import Config
from ohmgrid.model.core.refresh import refresh
from ohmgrid.model.device.aging import age
from ohmgrid.model.device.population import Population
from ohmgrid.registers.noise import Verb
from ohmgrid.registers.time import AgingRegisters, refresh_registers

__all__ = ["TimeEffects"]


class TimeEffects:
    """What happens to an array's conductances after certain updates.

    Parameters
    ----------
    config : Config
    population : Population
    aging : AgingRegisters
    lsb : float
        The weight LSB in weight units.
    key : callable of (Verb, int)
        Returns the operation key of a verb and a number of operations.
    """

    def __init__(
        self,
        config: Config,
        population: Population,
        aging: AgingRegisters,
        lsb: float,
        key: Callable[[Verb, int], int],
    ) -> None:
        self._config, self._population, self._aging, self._key = config, population, aging, key
        self._refresh = refresh_registers(config, lsb) if config.device.paired else None

    def _ages(self, updates: int) -> bool:
        return bool(self._aging.every) and updates % self._aging.every == 0

    def _refreshes(self, updates: int) -> bool:
        every = self._refresh.every if self._refresh else 0
        return bool(every) and updates % every == 0

    def due(self, updates: int) -> bool:
        """Return whether anything happens after so many updates."""
        return self._ages(updates) or self._refreshes(updates)

    def apply(self, weights: np.ndarray, updates: int, step: int) -> np.ndarray:
        """Return the conductances (int32, of devices) after what is due after so many updates.

        ``step`` are the operations so far that noise is numbered by: updates, and whatever else
        pulses the array.
        """
        if self._ages(updates):
            weights = age(weights, self._population, self._aging, self._key(Verb.TIME, step))
        if self._refresh and self._refreshes(updates):
            weights = refresh(
                weights,
                self._population,
                self._aging,
                self._config,
                self._refresh,
                step,
                self._key,
            )
        return weights

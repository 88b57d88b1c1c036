"""What a result says of where it comes from: program, seed, configuration and device."""

import hashlib
import json
from dataclasses import asdict
from typing import Any

from ohmgrid import __version__
from ohmgrid.config import Config
from ohmgrid.devices.presets import device_to_dict

__all__ = ["identity"]


def _sha256(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def identity(config: Config) -> dict[str, Any]:
    """Return ``version``, ``seed``, ``config_sha256`` and ``device_sha256``, as results hold them.

    The hashes are of sorted JSON: of the device's table, and of the whole configuration without
    ``build`` and ``layout``, which change no bit.
    """
    device = device_to_dict(config.device)
    whole = {**asdict(config), "device": device}
    del whole["build"], whole["layout"]
    return {
        "version": __version__,
        "seed": config.seed,
        "config_sha256": _sha256(whole),
        "device_sha256": _sha256(device),
    }

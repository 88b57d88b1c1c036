"""Presets of whole configurations of the reference simulator, and the presets here.

All 52 of aihwkit 1.2.0 that train; those for inference have noise models of their own.
"""

__all__ = ["CONFIG_PRESETS"]

_DEVICES = {
    "ReRamES": "reram-es",
    "ReRamSB": "reram-sb",
    "Capacitor": "capacitor",
    "EcRam": "ecram",
    "EcRamMO": "ecram-mo",
    "Idealized": "idealized",
}
_SINGLE = {"GokmenVlasov": "gokmen-vlasov", "PCM": "pcm"}
"""Devices that some families of presets do not have."""
_FAMILIES = {
    "TikiTaka": "tiki-taka-",
    "TTv2": "ttv2-",
    "ChoppedTTv2": "chopped-ttv2-",
    "AGAD": "agad-",
}


def _config_presets() -> dict[str, str]:
    every = _DEVICES | _SINGLE
    found = {f"{there}Preset": here for there, here in every.items()}
    for count in (2, 4):
        found |= {f"{there}{count}Preset": f"{here}{count}" for there, here in _DEVICES.items()}
    for family, prefix in _FAMILIES.items():
        found |= {f"{family}{there}Preset": prefix + here for there, here in _DEVICES.items()}
    return found | {
        f"MixedPrecision{there}Preset": f"mixed-precision-{here}" for there, here in every.items()
    }


CONFIG_PRESETS = _config_presets()
"""Class of a configuration there -> name of the preset of its device here."""

"""Configurations, devices and presets under the names that users of the reference simulator type.

Every class is made from what `ohmgrid.imports` knows; it holds keywords, and says nothing of their
ranges: a layer does, when it is made. A keyword that is not given has the default there, but for
``mapping.digital_bias``, which is False here: a bias is a column of the array.
"""

from typing import Any

from ohmgrid.doors.checks import ConfigError, shown
from ohmgrid.imports.cells import CELLS, MIXED, POLICIES
from ohmgrid.imports.config_presets import CONFIG_PRESETS
from ohmgrid.imports.devices import PAIRS, PRESET_CLASSES, SUFFIX, step_classes
from ohmgrid.imports.objects import described
from ohmgrid.imports.periphery import BOUNDS, CONVERTERS, MANAGEMENTS, NOISES, TRAINS, UPDATES
from ohmgrid.imports.printed import Call
from ohmgrid.imports.rpu_config import CONFIGS
from ohmgrid.imports.transfers import TRANSFERS

__all__ = ["CLASSES", "Description", "build_config", "cuda"]

WHOLE = (*CONFIGS, *CONFIG_PRESETS)
DEVICES = (
    *(f"{kind}{SUFFIX}" for kind in step_classes([])),
    *TRANSFERS,
    *CELLS,
    *PAIRS,
    *PRESET_CLASSES,
    MIXED,
)
MAPPING = "MappingParameter"
BESIDE = (MAPPING, "PrePostProcessingParameter", "InputRangeParameter")
"""Classes of what lies around an array."""
ENUMERATIONS = (MANAGEMENTS, BOUNDS, NOISES, TRAINS, POLICIES)


class Description:
    """A class of the reference simulator by its name, and keywords of it.

    Keywords are attributes too. Parts of a whole configuration (``forward``, ``backward``,
    ``update``, ``mapping``) are there to be changed, with the defaults of that configuration.
    """

    def __init__(self, **keywords: Any) -> None:
        vars(self).update(keywords)

    def __getattr__(self, name: str) -> Any:
        kind = type(self).__name__
        made = _part(kind, name) if kind in WHOLE else None
        if made is None:
            raise AttributeError(f"{kind}.{name} is not given: it has its default")
        setattr(self, name, made)
        return made

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        given = ", ".join(f"{name}={value!r}" for name, value in vars(self).items())
        return f"{type(self).__name__}({given})"

    def described(self) -> Call:
        """Return class and keywords; see `ohmgrid.imports.objects`."""
        kind = type(self).__name__
        call = Call(kind, {name: described(value) for name, value in vars(self).items()})
        if kind in WHOLE:
            call.keywords.setdefault("mapping", Call(MAPPING))
        if kind == MAPPING or kind in WHOLE:
            mapping = call if kind == MAPPING else call.keywords["mapping"]
            if isinstance(mapping, Call):
                mapping.keywords.setdefault("digital_bias", False)
        return call


def _part(kind: str, name: str) -> "Description | None":
    """Return a part of a whole configuration that was not given."""
    preset = kind in CONFIG_PRESETS
    if name in ("forward", "backward"):
        return CLASSES["PresetIOParameters" if preset else "IOParameters"]()
    if name == "update":
        return CLASSES["UpdateParameters"]()
    if name == "mapping":
        return CLASSES[MAPPING]()
    return None


def _class(name: str, doc: str) -> type[Description]:
    return type(name, (Description,), {"__doc__": doc, "__module__": __name__})


CLASSES: dict[str, type[Description]] = {
    **{name: _class(name, "A configuration of an array.") for name in WHOLE},
    **{name: _class(name, "What stands at a crosspoint.") for name in DEVICES},
    **{name: _class(name, "Converters.") for name in CONVERTERS},
    **{name: _class(name, "Pulse trains.") for name in UPDATES},
    **{name: _class(name, "What lies around an array.") for name in BESIDE},
}
"""Every class by its name."""


def _enumeration(members: dict[str, str]) -> tuple[str, type]:
    """Return the name of an enumeration and a class with its members, texts as they are printed."""
    name = next(iter(members)).partition(".")[0]
    return name, type(name, (), {text.partition(".")[2]: text for text in members})


ENUMS = dict(map(_enumeration, ENUMERATIONS))
globals().update(CLASSES)  # as pickle looks for them


class cuda:
    """What is asked for a graphics card there."""

    @staticmethod
    def is_compiled() -> bool:
        """Return False: arrays are computed by an engine of their own, on the CPU or on a board."""
        return False


_ALGORITHMS = {
    "sgd": ("sgd",),
    "tiki-taka": ("tiki-taka", "tt", "ttv1"),
    "ttv2": ("ttv2",),
    "chopped-ttv2": ("chopped-ttv2", "ttv3", "c-ttv2"),
    "agad": ("agad", "ttv4"),
    "mp": ("mp", "mixed-precision"),
}


def build_config(algorithm: str, device: Any, n_devices: int = 1, **parts: Any) -> Description:
    """Return the configuration that trains devices by an algorithm, as its namesake there does.

    Parameters
    ----------
    algorithm : str
        ``sgd``, ``tiki-taka`` (``tt``, ``ttv1``), ``ttv2``, ``chopped-ttv2`` (``c-ttv2``,
        ``ttv3``), ``agad`` (``ttv4``), ``mixed-precision`` (``mp``).
    device : Description, or its class
        Of all arrays.
    n_devices : int
        Of a crosspoint, with ``sgd`` only: above 1, one of them is pulsed at random.
    **parts
        ``forward``, ``backward``, ``update`` or ``mapping``.
    """
    names = {alias: name for name, aliases in _ALGORITHMS.items() for alias in aliases}
    name = names.get(algorithm.lower() if isinstance(algorithm, str) else "")
    if name is None:
        raise ConfigError(
            "algorithm", f"expected one of {', '.join(names)}, got {shown(algorithm)}"
        )
    one = device() if isinstance(device, type) else device
    if name == "sgd" and n_devices == 1:
        return CLASSES["SingleRPUConfig"](device=one, **parts)
    if name == "mp":
        cell = CLASSES[MIXED](device=one)
        return CLASSES["DigitalRankUpdateRPUConfig"](device=cell, **parts)
    if name == "sgd":
        policy = "VectorUnitCellUpdatePolicy.SINGLE_RANDOM"
        cell = CLASSES["VectorUnitCell"](unit_cell_devices=[one] * n_devices, update_policy=policy)
        return CLASSES["UnitCellRPUConfig"](device=cell, **parts)
    short = {"update": CLASSES["UpdateParameters"](desired_bl=5)}
    kind, own = {
        "tiki-taka": ("TransferCompound", {"units_in_mbatch": True}),
        "ttv2": ("ChoppedTransferCompound", {"in_chop_prob": 0.0}),
        "chopped-ttv2": ("ChoppedTransferCompound", {"fast_lr": 0.1, "auto_scale": True}),
        "agad": ("DynamicTransferCompound", {"fast_lr": 0.1, "auto_scale": True}),
    }[name]
    cell = CLASSES[kind](unit_cell_devices=[one, one], **own)
    return CLASSES["UnitCellRPUConfig"](
        device=cell, **({} if name == "tiki-taka" else short) | parts
    )

"""One run of a sweep, in whatever process: a function of text, so that it can be sent anywhere."""

from functools import lru_cache
from typing import Any

from ohmgrid.config import Config, FormatConfig
from ohmgrid.engines import make_core
from ohmgrid.training.data import Dataset
from ohmgrid.training.fitting import fit_build, load_plan_data
from ohmgrid.training.identity import identity
from ohmgrid.training.plan import Plan
from ohmgrid.training.session import Session
from ohmgrid.training.settings import parse_settings

__all__ = ["FIELDS", "run_text"]

FIELDS = (
    *(
        "test_accuracy",
        "best_accuracy",
        "train_accuracy",
        "train_loss",
        "seconds",
        "examples_per_s",
    ),
    *("engine", "version", "seed", "config_sha256", "device_sha256", "data_sha256"),
    "state_sha256",
)
"""What comes of a run, in this order."""
OF_DATA = ("data", "crop", "pool", "scale", "label")
"""Fields of a plan that decide the examples."""
DATA_KEPT = 2
"""Data sets that a process keeps, so that the next run need not read them."""


@lru_cache(maxsize=DATA_KEPT)
def _data(sample: Plan, x_frac: int, edge_bits: int) -> Dataset:
    formats = FormatConfig(x_frac=x_frac, edge_bits=edge_bits)
    return load_plan_data(sample, Config(formats=formats))


def run_text(text: str, engine: str) -> dict[str, Any]:
    """Train what a configuration says, and return what came of it, by `FIELDS`.

    Parameters
    ----------
    text : str
        A configuration with a table ``[training]``, as TOML.
    engine : str

    Raises
    ------
    ConfigError
        Where the run cannot begin.
    """
    settings = parse_settings(text)
    plan = settings.plan()
    formats = settings.config().formats
    sample = Plan(**{name: getattr(plan, name) for name in OF_DATA})
    data = _data(sample, formats.x_frac, formats.edge_bits)
    config = fit_build(settings.config(), plan)
    core = make_core(engine, config, plan.net())
    try:
        session = Session(core.config, plan, data, core)
        session.start()
        session.run(lambda: False, lambda progress: None, lambda row: None)
        last = session.history[-1]
        return {
            "test_accuracy": last["test_accuracy"],
            "best_accuracy": max(row["test_accuracy"] for row in session.history),
            "train_accuracy": last["train_accuracy"],
            "train_loss": last["train_loss"],
            "seconds": round(sum(row["seconds"] for row in session.history), 3),
            "examples_per_s": round(session.examples_per_s, 1),
            "engine": engine,
            **identity(config),
            "data_sha256": data.sha256,
            "state_sha256": session.state_sha256,
        }
    finally:
        core.close()

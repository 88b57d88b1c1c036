"""What a plan needs before it runs: a build that holds its net, and its data."""

from dataclasses import replace

from ohmgrid.config import Config
from ohmgrid.doors.checks import ConfigError
from ohmgrid.registers.build_check import check_build
from ohmgrid.registers.layout import OF_WORDS, roomy_build, words_of
from ohmgrid.training.data import Dataset, Preparation, load_data
from ohmgrid.training.plan import Plan
from ohmgrid.training.settings import Settings

__all__ = ["fit_build", "load_plan_data"]


def fit_build(config: Config, plan: Plan, given: Settings | None = None) -> Config:
    """Return the configuration with memory for the plan's net, its build checked.

    Memory grows where no size is ``given``.
    """
    sizes = ("words", "inputs", "outputs", *OF_WORDS)
    fixed = [name for name in sizes if given and given.gives(f"build.{name}")]
    words = words_of(config.device)
    build = roomy_build(plan.net().shapes, words, config.build, config.layout, fixed)
    if config.batch > build.edge:
        if given and given.gives("build.edge"):
            raise ConfigError(
                "build.edge",
                f"expected room for the {config.batch} examples of a mini-batch, got {build.edge}",
            )
        build = replace(build, edge=config.batch)
    config = replace(config, build=build)
    check_build(config)
    return config


def load_plan_data(plan: Plan, config: Config, learned: Preparation | None = None) -> Dataset:
    """Load the data of a plan in the configuration's edge format.

    Parameters
    ----------
    plan : Plan
    config : Config
    learned : Preparation, optional
        Of a run that goes on: its scaling and the names of its classes are used.
    """
    how = plan.preparation()
    if learned is not None:
        how = replace(how, scaling=learned.scaling, bytes=learned.bytes, names=learned.names)
    return load_data(plan.data, config.formats.x_frac, config.formats.edge_bits, how)

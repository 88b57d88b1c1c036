"""Features as floats in an .npz: 2,048 of them and a bias into 10 or 100 classes."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from ohmgrid.config import Config
from ohmgrid.devices.presets import preset
from ohmgrid.engines import make_core
from ohmgrid.training.data import load_data
from ohmgrid.training.plan import Plan
from ohmgrid.training.session import Session

BENCH = Path(__file__).parents[2] / "bench" / "features.py"
FEATURES = 2048
ENGINES = ("model", "compiled")
CONFIG = Config(device=preset("pcm-3t1c"), seed=2)


@pytest.fixture(scope="module")
def recipe() -> dict[str, np.ndarray]:
    """Return what the recipe writes."""
    spec = importlib.util.spec_from_file_location("features", BENCH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.make_features(FEATURES, 1)


def saved(path: Path, arrays: dict[str, np.ndarray]) -> str:
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return str(path)


def trained(engine: str, name: str, layers: str, epochs: int, lr: float) -> Session:
    """Train on a file to the end."""
    plan = Plan(data=name, layers=layers, lr=lr, epochs=epochs)
    formats = CONFIG.formats
    data = load_data(name, formats.x_frac, formats.edge_bits)
    plan.check_fits(data)
    session = Session(CONFIG, plan, data, make_core(engine, CONFIG, plan.net()))
    session.start()
    assert session.run(lambda: False, lambda progress: None, lambda row: None)
    return session


def test_recipe_has_features_that_the_cell_learns(recipe, tmp_path):
    assert recipe["x_train"].shape == (1438, FEATURES)
    assert recipe["x_test"].shape == (359, FEATURES)
    assert -1 <= recipe["x_train"].min() < recipe["x_train"].max() <= 1
    # No feature is the same for all images.
    assert recipe["x_train"].std(axis=0).min() > 0.1
    found = trained("compiled", saved(tmp_path / "f.npz", recipe), "2048-10", 1, 0.005)
    assert found.history[-1]["test_accuracy"] > 0.94
    np.testing.assert_allclose(
        found.data.test_x / (1 << CONFIG.formats.x_frac), recipe["x_test"], atol=2**-12
    )


@pytest.mark.parametrize("classes", [10, 100])
def test_floats_into_classes_train_to_the_same_bits_on_both_engines(classes, tmp_path):
    rng = np.random.default_rng(classes)
    labels = np.arange(2 * classes) % classes
    # Beyond the edge there is nothing: features of another range need --scale.
    arrays = {"x": rng.uniform(-2, 7.9, (2 * classes, FEATURES)), "y": labels}
    name = saved(tmp_path / "f.npz", arrays)
    runs = [trained(engine, name, f"{FEATURES}-{classes}", 1, 1e-4) for engine in ENGINES]
    assert runs[0].state_sha256 == runs[1].state_sha256
    assert [run.history[-1]["test_accuracy"] for run in runs[1:]] == [
        runs[0].history[-1]["test_accuracy"]
    ]

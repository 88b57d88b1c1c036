"""Plain C: its steps are those of the equations, it learns, a broken compiler gets one line."""

import shutil
import sys
from itertools import product

import numpy as np
import pytest
from click.testing import CliRunner

from ohmgrid.cli import cli
from ohmgrid.net import LOSSES, Net
from ohmgrid.registers.layers import ACTIVATIONS
from ohmgrid.storage import cache
from ohmgrid.studies import plain_c
from ohmgrid.studies.plain_c import PlainNet, initial_weights
from ohmgrid.tools.compilers import CompilerMissing
from ohmgrid.tools.toolchain import ToolFailed
from ohmgrid.training.data import load_data

FUNCTIONS = {
    "sigmoid": (lambda v: 1 / (1 + np.exp(-v)), lambda a: a * (1 - a)),
    "tanh": (np.tanh, lambda a: 1 - a * a),
    "relu": (lambda v: np.maximum(v, 0), lambda a: (a > 0) * 1.0),
}
"""Activation, and its derivative from the activation's own value."""


def step(net: Net, weights: list[np.ndarray], pixels: np.ndarray, label: int, lr: float):
    """Return the weights after one example, in float64, written from the equations."""
    function, slope = FUNCTIONS[net.activation]
    inputs, x = [], pixels
    for number, matrix in enumerate(weights):
        inputs.append(np.append(x, 1.0))
        pre = matrix @ inputs[-1]
        x = function(pre) if number < len(weights) - 1 else pre
    wanted = np.eye(net.layers[-1])[label]
    if net.softmax:
        d = np.exp(x - x.max()) / np.exp(x - x.max()).sum() - wanted
    elif net.activation == "relu":
        d = x - wanted
    else:
        d = (function(x) - wanted) * slope(function(x))
    after = []
    for number in reversed(range(len(weights))):
        after.append(weights[number] - lr * np.outer(d, inputs[number]))
        below = (weights[number].T @ d)[:-1]
        d = below * slope(inputs[number][:-1])
    return after[::-1]


def example(rng: np.random.Generator, net: Net) -> tuple[list[np.ndarray], np.ndarray]:
    """Return weights and pixels on grids so coarse that sums of hidden layers of a ReLU net are
    exact in float32: both sides then see the same units on.
    """
    weights = [rng.integers(-32, 33, shape) / 64 for shape in net.shapes]
    pixels = rng.integers(1, 9, net.layers[0]) / 8 * rng.integers(0, 2, net.layers[0])
    return weights, pixels


def check_close(got: list[np.ndarray], want: list[np.ndarray], before: list[np.ndarray]) -> None:
    """Compare what was learned: to 1e-4 of the largest change, and the last bit of a weight."""
    for ours, theirs, first in zip(got, want, before, strict=True):
        bound = 1e-4 * np.abs(theirs - first).max() + 2.0**-23 * np.abs(theirs)
        assert np.all(np.abs(ours - theirs) <= bound)


@pytest.mark.parametrize(("activation", "loss"), list(product(ACTIVATIONS, LOSSES)))
def test_one_step_is_that_of_the_equations(rng, activation, loss):
    for _ in range(10):
        # Sizes below, at and beyond a cache line of 16 floats.
        sizes = int(rng.integers(1, 40)), int(rng.integers(15, 18)), 33, 3
        net, label, lr = Net(sizes, activation, loss), int(rng.integers(3)), 0.25
        weights, pixels = example(rng, net)
        plain = PlainNet(net, weights)
        assert all(np.array_equal(*pair) for pair in zip(plain.weights(), weights, strict=True))
        plain.train(pixels[None], np.array([label]), lr)
        check_close(plain.weights(), step(net, weights, pixels, label, lr), weights)


@pytest.mark.parametrize(("activation", "loss"), [("sigmoid", LOSSES[0]), ("tanh", LOSSES[1])])
def test_examples_are_trained_one_after_the_other(rng, activation, loss):
    net = Net((20, 17, 4), activation, loss)
    before, _ = example(rng, net)
    pixels = np.stack([example(rng, net)[1] for _ in range(30)])
    labels, want = rng.integers(0, 4, 30), before
    plain = PlainNet(net, before)
    plain.train(pixels, labels, 0.125)
    for one, label in zip(pixels, labels.tolist(), strict=True):
        want = step(net, want, one, label, 0.125)
    check_close(plain.weights(), want, before)


@pytest.mark.parametrize(
    ("activation", "loss", "lr"),
    [("sigmoid", "cross-entropy", 0.1), ("tanh", "squared", 0.05), ("relu", "cross-entropy", 0.02)],
)
def test_it_learns_digits(activation, loss, lr):
    data, net = load_data("digits", 12, 16), Net((64, 32, 10), activation, loss)
    plain = PlainNet(net, initial_weights(net, 1))
    pixels, test = (part / 4096 for part in (data.train_x, data.test_x))

    def accuracy() -> float:
        return float(np.mean(plain.predict(test) == data.test_labels))

    assert accuracy() < 0.3
    for epoch in range(20):
        order = np.random.default_rng(epoch).permutation(len(pixels))
        plain.train(pixels[order], data.train_labels[order], lr)
    assert accuracy() > 0.95


def test_the_process_around_it_keeps_its_numbers_near_zero():
    net = Net((2, 3))
    PlainNet(net, initial_weights(net, 1)).train(np.ones((1, 2)), np.zeros(1, int), 0.1)
    tiny = np.array([np.finfo(np.float64).smallest_subnormal])
    assert (tiny * np.array([1.0]))[0] > 0


def test_what_does_not_fit_the_net_never_reaches_c():
    net = Net((4, 3))
    plain = PlainNet(net, initial_weights(net, 1))
    with pytest.raises(ValueError, match=r"pixels: expected shape \(examples, 4\), got \(2, 5\)"):
        plain.train(np.zeros((2, 5)), np.zeros(2, int), 0.1)
    with pytest.raises(ValueError, match=r"pixels: expected shape \(examples, 4\), got \(4,\)"):
        plain.predict(np.zeros(4))
    for labels in (np.array([0, 3]), np.array([-1, 0]), np.array([0])):
        with pytest.raises(ValueError, match=r"labels: expected 2 of 0\.\.2"):
            plain.train(np.zeros((2, 4)), labels, 0.1)
    with pytest.raises(ValueError, match=r"weights: expected shapes \[\(3, 5\)\]"):
        PlainNet(net, [np.zeros((5, 3))])


@pytest.fixture
def place(monkeypatch, tmp_path):
    """A cache of the test's own."""
    monkeypatch.setenv("OHMGRID_CACHE", str(tmp_path / "cache"))
    cache.note.cache_clear()
    return tmp_path / "cache" / "plain-c"


def fake_compiler(folder, code: str) -> str:
    """Return a compiler that runs some Python, with ``out`` the file that is asked for."""
    script = folder / "fake.py"
    script.write_text(
        "import shutil, sys\n"
        "if '--version' in sys.argv:\n    sys.exit(print('fake 1.0'))\n"
        f"out = sys.argv[sys.argv.index('-o') + 1]\n{code}\n"
    )
    return f"{sys.executable} {script}"


@pytest.mark.parametrize(
    ("code", "line"),
    [
        ("open(out, 'w').write('no code')", "expected a library, got one with: "),
        ("open(out, 'w')", "expected a library, got one with: "),
        ("if out.endswith('.o'): open(out, 'w')", "expected a library, got one with: "),
        ("sys.exit('out of disk')", r"failed \(status 1\):\n  out of disk"),
    ],
)
def test_what_a_broken_compiler_makes_is_not_kept(place, monkeypatch, tmp_path, code, line):
    monkeypatch.setenv("CC", fake_compiler(tmp_path, code))
    with pytest.raises(ToolFailed, match=line) as caught:
        plain_c.build()
    assert str(tmp_path / "cache") not in str(caught.value)
    assert list(place.iterdir()) == []


def test_a_library_of_something_else_is_not_kept(place, monkeypatch, tmp_path):
    (tmp_path / "other.c").write_text("int nothing;\n")
    monkeypatch.setattr(plain_c, "SOURCE", tmp_path / "other.c")
    with pytest.raises(ToolFailed, match=r"expected a library, got one with: .*plain_new"):
        plain_c.build()
    assert list(place.iterdir()) == []


def test_it_is_built_once_for_each_compiler(place, monkeypatch):
    first = plain_c.build()
    status = first.stat()
    assert plain_c.build().stat() == status
    monkeypatch.setenv("CC", f"{shutil.which('cc')} -g0")
    assert plain_c.build() != first
    assert len(list(place.iterdir())) == 2
    monkeypatch.delenv("CC")
    first.write_bytes(first.read_bytes()[:100])
    assert plain_c.build().stat().st_size == status.st_size


def test_a_missing_compiler_is_one_line_with_what_installs_it(place, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CompilerMissing, match=r"^no C compiler was found: apt-get install gcc$"):
        plain_c.build()
    monkeypatch.setenv("CC", "no-such-compiler")
    out = tmp_path / "speed"
    result = CliRunner().invoke(cli, ["bench", "--plain-c", "--batch", "1", "--out", str(out)])
    assert result.exit_code == 1
    assert result.stderr == "error: CC=no-such-compiler: no such program: apt-get install gcc\n"
    assert not out.exists()

"""`ohmgrid.portable` against `decimal`, and no other exponential or power decides a bit."""

import ast
import math
from decimal import Context, Decimal, localcontext
from pathlib import Path
from statistics import NormalDist

import pytest

from ohmgrid import portable
from ohmgrid.portable import ceil_log2, floor_log2, normal_density, normal_quantile, power

ROOT = Path(__file__).parents[1]

FIXED_MATH = {"ceil", "floor", "frexp", "fsum", "inf", "isfinite", "isqrt", "ldexp", "sqrt", "tau"}
"""What of `math` IEEE 754 or integers fix to the bit."""

ROUNDED_NUMPY = {
    *("cbrt", "exp", "exp2", "expm1", "float_power", "hypot", "log", "log10", "log1p", "log2"),
    *("logaddexp", "power", "sin", "cos", "tan", "sinh", "cosh", "tanh"),
}
"""What of NumPy it does not."""

HARMLESS = {
    "src/ohmgrid/doors/arrays.py": {"math.prod"},  # of integers
    "src/ohmgrid/datasets/idx.py": {"math.prod"},  # of integers
    # Bits from a resolution, a whole number; powers of whole numbers.
    "src/ohmgrid/imports/periphery.py": {"math.log2", "**"},
    # Fits of measurements: parameters that are written down for the user.
    "src/ohmgrid/measurements/candidates.py": {"np.exp", "np.expm1", "np.log1p", "**"},
    "src/ohmgrid/measurements/fitting.py": {"**"},
    "src/ohmgrid/measurements/ranking.py": {"**", "np.log"},
    "src/ohmgrid/measurements/residuals.py": {"np.exp", "**", "np.hypot", "np.log"},
    "src/ohmgrid/measurements/retention.py": {"np.exp", "**", "np.log"},
    "src/ohmgrid/measurements/smooth.py": {"**"},
    "src/ohmgrid/measurements/solving.py": {"np.exp", "**", "np.log"},
    "src/ohmgrid/measurements/train.py": {"**"},
    "src/ohmgrid/measurements/trials.py": {"**"},
    "src/ohmgrid/net.py": {"np.log"},  # the loss that people read
    # Theory, and what is measured of traces: numbers that people read.
    "src/ohmgrid/studies/delay_theory.py": {
        *("math.atan", "math.atan2", "math.exp", "math.log", "math.log1p", "math.pi"),
    },
    "src/ohmgrid/studies/onset.py": {
        "math.cos",
        "math.exp",
        "math.log",
        "math.pi",
        "np.exp",
        "np.log",
    },
    "src/ohmgrid/studies/peer_worker.py": {"**"},  # aihwkit's side
    "src/ohmgrid/studies/staircase.py": {"**"},  # how many rows an array of single devices has
}
"""Uses that decide no bit of a tile."""


def is_integer(node: ast.expr) -> bool:
    """Return whether an expression is seen to be an integer: a literal or ``int(...)``."""
    match node:
        case ast.Constant(value=int()) | ast.Call(func=ast.Name(id="int")):
            return True
    return False


def uses(path: Path) -> set[str]:
    """Return what a file uses of what a platform may round in its own way."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Attribute(value=ast.Name(id="math"), attr=name) if name not in FIXED_MATH:
                found.add(f"math.{name}")
            case ast.Attribute(value=ast.Name(id="np"), attr=name) if name in ROUNDED_NUMPY:
                found.add(f"np.{name}")
            case ast.ImportFrom(module="math", names=names):
                found |= {f"math.{name.name}" for name in names if name.name not in FIXED_MATH}
            case ast.ImportFrom(module="numpy" | "cmath" as module, names=names):
                found |= {f"{module}.{name.name}" for name in names}
            case ast.Name(id="NormalDist" | "pow" as name):
                found.add(name)
            case ast.BinOp(op=ast.Pow(), left=left, right=right):
                if not (is_integer(left) and is_integer(right)):
                    found.add("**")
    return found


def test_no_bit_depends_on_the_platforms_exponential():
    found = {}
    for folder in ("src/ohmgrid", "model", "hdl", "sim", "boards"):
        for path in (ROOT / folder).rglob("*.py"):
            if names := uses(path):
                found[str(path.relative_to(ROOT))] = names
    assert found == HARMLESS


@pytest.mark.parametrize(
    "text",
    [
        *("import math\nx = math.exp(1)", "from math import log", "x = y**2", "x = 2.0**n"),
        *("import numpy as np\nx = np.tanh(y)", "from statistics import NormalDist\nNormalDist()"),
        "x = pow(2, y)",
    ],
)
def test_such_uses_are_found(tmp_path, text):
    path = tmp_path / "module.py"
    path.write_text(text)
    assert uses(path)


def ulps(got: float, true: Decimal) -> float:
    return float(abs(Decimal(got) - true) / Decimal(math.ulp(float(true))))


FUNCTIONS = {
    "exp": (lambda x: x.exp(), lambda u: 160 * u - 80),
    "expm1": (lambda x: x.exp() - 1, lambda u: (2 * u - 1) ** 7 * 40),
    "log": (lambda x: x.ln(), lambda u: 10 ** (24 * u - 12)),
    "log1p": (lambda x: (1 + x).ln(), lambda u: (2 * u - 1) ** 7 * 0.999),
}
"""Name to the true function and where in 0..1 its arguments come from, dense where it is hard."""


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_are_as_close_as_they_say(name):
    true, place = FUNCTIONS[name]
    with localcontext(Context(prec=60)):
        for k in range(1000):
            x = place((k + 0.5) / 1000)
            assert ulps(getattr(portable, name)(x), true(Decimal(x))) < portable.ULPS, x


def test_ends():
    assert portable.exp(0.0) == 1.0
    assert portable.exp(-1e6) == 0.0
    assert portable.expm1(-1e6) == -1.0
    assert portable.log(1.0) == portable.log1p(0.0) == portable.expm1(0.0) == 0.0
    with pytest.raises(OverflowError):
        portable.exp(1000.0)


def test_powers():
    for base in (0.001, 0.3, 0.5, 0.999, 1.0):
        for exponent in (0.0, 0.1, 1.0, 3.5):
            with localcontext(Context(prec=60)):
                true = (Decimal(exponent) * Decimal(base).ln()).exp()
            # The error of a logarithm grows with the exponent's product.
            assert ulps(power(base, exponent), true) < 100
    assert power(0.0, 2.0) == 0.0
    assert power(0.0, 0.0) == 1.0
    assert power(0.5, 1.0) == 0.5


def test_logarithms_to_base_two_are_exact():
    for n in (-1074, -20, -1, 0, 1, 20, 1023):
        exact = math.ldexp(1.0, n)
        assert floor_log2(exact) == ceil_log2(exact) == n
    for n in (-20, -1, 0, 1, 20):
        above = math.nextafter(math.ldexp(1.0, n), math.inf)
        below = math.nextafter(math.ldexp(1.0, n), 0.0)
        assert (floor_log2(above), ceil_log2(above)) == (n, n + 1)
        assert (floor_log2(below), ceil_log2(below)) == (n - 1, n)


def test_the_normal_distribution():
    normal = NormalDist()
    for k in range(1, 1024):
        p = k / 1024
        assert normal_quantile(p) == pytest.approx(normal.inv_cdf(p), abs=1e-12)
    assert normal_quantile(0.5) == 0.0
    assert normal_density(1.5) == pytest.approx(normal.pdf(1.5), rel=1e-14)

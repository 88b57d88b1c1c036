"""Parts of a core under any pace, on exported Verilog: store, coder, reader, pulser; the UART."""

import ast
import re
from pathlib import Path

from keyed_lines import KeyedLines

from ohmgrid.config import BuildConfig, Config
from ohmgrid.hdl.core.example_store import ExampleStore
from ohmgrid.hdl.core.pulser import Pulser
from ohmgrid.hdl.link.uart import Uart
from ohmgrid.hdl.periphery.outputs import Outputs
from ohmgrid.sim.runner import run_cocotb
from ohmgrid.training.settings import config_to_toml

TESTS = Path(__file__).parents[1]


def test_store():
    sizes = {"size": 90, "examples": 4}
    passed = run_cocotb(
        ExampleStore(size=sizes["size"], examples=sizes["examples"]),
        TESTS / "cocotb_store.py",
        name="store",
        parameters=sizes,
    )
    assert passed == 2


def test_coder():
    config = Config(
        build=BuildConfig(lanes=2, inputs=11, outputs=8, train_groups=2, read_physics=False)
    )
    passed = run_cocotb(
        KeyedLines(config),
        TESTS / "cocotb_coder.py",
        name="coder",
        parameters={"config": config_to_toml(config)},
    )
    assert passed == 2


def test_reader():
    sizes = {"sum_bits": 34, "max_lines": 16}
    passed = run_cocotb(
        Outputs(sizes["sum_bits"], sizes["max_lines"]),
        TESTS / "cocotb_reader.py",
        name="reader",
        parameters=sizes,
    )
    assert passed == 2


def test_pulser():
    config = Config(build=BuildConfig(lanes=2, inputs=16, outputs=8))
    passed = run_cocotb(
        Pulser(config),
        TESTS / "cocotb_pulser.py",
        name="pulser",
        parameters={"config": config_to_toml(config)},
    )
    assert passed == 3


def test_uart():
    given = {"clock_hz": 80_000_000, "baud": 3_000_000, "width": 6}
    passed = run_cocotb(Uart(**given), TESTS / "cocotb_uart.py", name="uart", parameters=given)
    assert passed == 4


def statements(text: str) -> set[str]:
    """Return the statements of a module, each name that it imports for itself."""
    found = set()
    for node in ast.parse(text).body:
        if isinstance(node, ast.ImportFrom):
            found |= {f"from {node.module} import {alias.name}" for alias in node.names}
        else:
            found.add(ast.unparse(node))
    return found


def test_the_documented_bench_is_one_that_runs():
    """Core tests run it (test_gateware.py)."""
    text = (TESTS.parent / "docs" / "embedding.md").read_text(encoding="utf-8")
    bench, _, watch = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert statements(bench + watch) <= statements((TESTS / "cocotb_core.py").read_text())

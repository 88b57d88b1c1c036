"""The README's first table is what was measured."""

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_table_of_engines_and_boards_is_made_of_the_committed_results():
    spec = spec_from_file_location("readme_table", ROOT / "bench" / "readme_table.py")
    assert spec is not None
    assert spec.loader is not None
    made = module_from_spec(spec)
    spec.loader.exec_module(made)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert made.with_table(readme) == readme, "make it anew: python bench/readme_table.py"
    rows = readme.partition(made.BEGIN)[2].partition(made.END)[0].strip().splitlines()[2:]
    assert sum(row.startswith(("| `", "| aihwkit")) for row in rows) == len(made.WHAT)
    assert len(rows) > len(made.WHAT)

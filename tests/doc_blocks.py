"""Python on the pages of the documentation, as tests run it: what a page shows is what a reader
types, block after block, in one session."""

import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks_of(page: str) -> list[str]:
    """Return the blocks of Python of a page (``docs/runs.md``)."""
    return BLOCK.findall((ROOT / page).read_text(encoding="utf-8"))


def pages() -> set[str]:
    """Return the pages that have any."""
    names = {page.relative_to(ROOT).as_posix() for page in PAGES}
    return {name for name in names if blocks_of(name)}


def run_page(page: str) -> dict[str, Any]:
    """Run the blocks of a page; return the names that they leave."""
    names: dict[str, Any] = {"__name__": page}
    for number, block in enumerate(blocks_of(page), 1):
        exec(compile(block, f"{page}, block {number}", "exec"), names)
    return names

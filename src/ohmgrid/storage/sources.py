"""The name of what is built from sources: a hash of every file that can change a bit of it.

Nobody keeps a list. What is built from a package depends on all files of that package, sub-packages
included, and on every module of this project that they import, directly or not. Files that none of
them imports (the command line, plots, documentation) may change without anything being built anew:
compiling the kernels takes more than a minute.
"""

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

__all__ = ["fingerprint", "imported", "sources"]

_TOP = "ohmgrid"
_ROOT = Path(__file__).parents[1]
_IMPORT = re.compile(
    r"(?m)^[ \t]*(?:"
    r"from[ \t]+(?P<base>[.\w]+)[ \t]+import[ \t]+(?P<names>\((?:[^)#]|#[^\n]*)*\)|[^\n]+)"
    r"|import[ \t]+(?P<modules>[^\n]+))"
)
"""A statement that imports, also within a function; `ast` finds the same in fifty times the time,
which every start of the program would pay."""


def fingerprint(*packages: str, root: Path = _ROOT) -> str:
    """Return a hash of the sources of some packages and of all that they import.

    Parameters
    ----------
    packages : str
        Full names: ``ohmgrid.hdl``.
    root : Path
        Folder of the package ``ohmgrid``.
    """
    digest = hashlib.sha256()
    for file in sources(*packages, root=root):
        content = hashlib.sha256(file.read_bytes()).hexdigest()
        digest.update(f"{content}  {file.relative_to(root)}\n".encode())
    return digest.hexdigest()


def sources(*packages: str, root: Path = _ROOT) -> list[Path]:
    """Return the files of some packages and of all modules of this project that they import."""
    found = {
        file
        for package in packages
        for file in root.joinpath(*package.split(".")[1:]).rglob("*")
        if file.is_file() and file.suffix != ".pyc"
    }
    waiting = [file for file in found if file.suffix == ".py"]
    known: set[str] = set()
    while waiting:
        file = waiting.pop()
        package = ".".join((_TOP, *file.relative_to(root).parts[:-1]))
        # A package is run before what is in it.
        names = {package, *imported(file.read_text(encoding="utf-8"), package)}
        for name in _with_parents(names) - known:
            known.add(name)
            place = root.joinpath(*name.split(".")[1:])
            for module in (place.with_suffix(".py"), place / "__init__.py"):
                if module not in found and module.is_file():
                    found.add(module)
                    waiting.append(module)
    return sorted(found)


def _with_parents(names: set[str]) -> set[str]:
    """Return dotted names and the names of the packages that they are in."""
    every = set(names)
    for name in names:
        while name := name.rpartition(".")[0]:
            every.add(name)
    return every


def imported(text: str, package: str) -> Iterator[str]:
    """Yield the names of this project that a module imports; some of them may be no modules.

    Parameters
    ----------
    text : str
        Its source.
    package : str
        Full name of the package that it is in.
    """
    for statement in _IMPORT.finditer(text):
        if statement["modules"]:
            names = [part.split()[0] for part in statement["modules"].split(",") if part.strip()]
        else:
            base = statement["base"]
            level = len(base) - len(base.lstrip("."))
            if level:
                above = package.split(".")[: 1 - level or None]
                base = ".".join([*above, *filter(None, [base.lstrip(".")])])
            lines = re.sub(r"#.*", "", statement["names"])
            names = [base, *(f"{base}.{name}" for name in re.findall(r"(?:^|[(,])\s*(\w+)", lines))]
        yield from (name for name in names if name.partition(".")[0] == _TOP)

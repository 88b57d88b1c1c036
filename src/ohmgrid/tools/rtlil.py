"""RTLIL, the text in which yosys takes a design: its ports, and one module instead of equal ones.

Amaranth writes one module for each instance; simulation and synthesis want equal ones once.
"""

import re
from collections import Counter
from collections.abc import Collection

__all__ = ["mangled", "merge_modules", "ports_in"]

_MODULE = re.compile(r"(?ms)^((?:attribute [^\n]*\n)*)module (\S+)\n(.*?)^end\n")
_CELL = re.compile(r"(?m)^  cell (\\\S+) ")
_INSTANCE = re.compile(r"(?ms)^  cell (\\\S+) (.*?)^  end$")
_CONNECT = re.compile(r"(?m)^(    connect )(\S+)")
# A port without a name of its own is called after its net's number in the whole design.
_PRIORITY = re.compile(r"(?m)^(    parameter signed \\PRIORITY )32'[01]+$")
_NUMBERED = re.compile(r"\\port\$[0-9$]+")
_PORT = re.compile(r"(?m)^  wire width (\d+) (input|output) \d+ +(?:signed +)?\\(\S+)$")


def mangled(name: str) -> str:
    """Return what CXXRTL calls a public name: a module's class, a port's member."""
    return "p_" + "".join(c if c.isalnum() else "__" if c == "_" else f"_{ord(c):x}_" for c in name)


def ports_in(rtlil: str, top: str = "top") -> dict[str, tuple[str, int]]:
    """Return the ports of one module of an RTLIL text: name -> (``input`` or ``output``, width)."""
    for _, name, body in _MODULE.findall(rtlil):
        if name == rf"\{top}":
            return {port: (way, int(width)) for width, way, port in _PORT.findall(body)}
    raise ValueError(f"expected a module {top} in the RTLIL, got none")


def merge_modules(
    rtlil: str, *, top: str = "top", share: int = 300_000, flat: Collection[str] = ()
) -> str:
    """Make one module of equal ones; those worth it stay modules when the design is flattened.

    Parameters
    ----------
    rtlil : str
        Amaranth's output.
    top : str
        Name of the top module.
    share : int
        Size in characters, submodules included, from which a module used more than once gets
        ``keep_hierarchy``. Below it is cheaper to optimise each copy where it stands.
    flat : collection of str
        Modules that are never to stay, by their C++ names.

    Returns
    -------
    str
        The same design, submodules before the modules that use them.
    """
    modules = {name: (attributes, body) for attributes, name, body in _MODULE.findall(rtlil)}
    first_of: dict[tuple[str, str], str] = {}
    canonical: dict[str, str] = {}
    renamed: dict[str, dict[str, str]] = {}
    uses: dict[str, Counter[str]] = {}

    def instance(cell: re.Match[str]) -> str:
        if cell[1] not in modules:
            return cell[0]  # a primitive of the vendor
        merge(cell[1])
        names = renamed[cell[1]]
        text = _CONNECT.sub(lambda port: port[1] + names.get(port[2], port[2]), cell[2])
        return f"  cell {canonical[cell[1]]} {text}  end"

    def merge(name: str) -> None:
        if name in canonical:
            return
        attributes, body = modules[name]
        # The order of messages of several checks in one cycle, numbered through the whole design.
        body = _PRIORITY.sub(r"\g<1>0", body)
        # The submodules' ports first: their new names do not look like numbered ones.
        body = _INSTANCE.sub(instance, body)
        names = {
            port: rf"\port.{k}" for k, port in enumerate(dict.fromkeys(_NUMBERED.findall(body)))
        }
        body = _NUMBERED.sub(lambda port: names[port[0]], body)
        renamed[name] = names
        canonical[name] = first_of.setdefault((attributes, body), name)
        if canonical[name] == name:
            uses[name] = Counter(cell for cell in _CELL.findall(body) if cell in uses)
            modules[name] = (attributes, body)

    merge(rf"\{top}")
    sizes: dict[str, int] = {}
    for name, parts in uses.items():  # submodules first
        sizes[name] = len(modules[name][1]) + sum(sizes[part] * n for part, n in parts.items())
    copies: Counter[str] = Counter()
    for parts in uses.values():
        copies.update(parts)
    text = []
    for name in uses:
        attributes, body = modules[name]
        if copies[name] > 1 and sizes[name] >= share and mangled(name[1:]) not in flat:
            attributes += "attribute \\keep_hierarchy 1\n"
        text.append(f"{attributes}module {name}\n{body}end\n")
    return "\n".join(text)

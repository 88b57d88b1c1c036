"""From RTLIL to a shared library: rewritten for speed where that is known to be right.

The rewriting reads what yosys writes, as text. So it takes only text that it knows
(`cxxrtl_words`), and of a yosys that it was not tested with it takes nothing on trust:
the fast library runs beside the plain one, CXXRTL's own, on random inputs. Where the text is not
known or an output differs, the plain library is used: right, and many times slower. One line says
so.
"""

import json
import random
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from ohmgrid.sim.cxxrtl.activity import by_activity
from ohmgrid.sim.cxxrtl.instance import AssertFailed, Instance, Ports, load
from ohmgrid.sim.cxxrtl.text import (
    name_nets,
    settle_outputs,
    single_pass,
    specialise,
    unsettled,
)
from ohmgrid.sim.cxxrtl.waves import registers_in
from ohmgrid.sim.cxxrtl.words import Unfamiliar, unfamiliar
from ohmgrid.storage.cache import note
from ohmgrid.tools import toolchain
from ohmgrid.tools.compilers import find_compiler
from ohmgrid.tools.rtlil import mangled, merge_modules, ports_in

__all__ = [
    "FLAGS",
    "HARNESS",
    "LIBRARY",
    "TESTED_YOSYS",
    "difference",
    "make_library",
    "read_ports",
    "read_waves",
]

HARNESS = Path(__file__).with_name("harness.cpp")
LIBRARY = "library.so"
TESTED_YOSYS = ("0.70",)
"""Versions of yosys whose text the tests of this project have rewritten and compared."""
# There are no loops to improve: at -O2 a core of 4 lanes runs 5 % slower than at -O1.
FLAGS = (
    *("-std=c++17", "-O1", "-w"),
    *("-fPIC", "-shared", "-fvisibility=hidden"),
)
_PLAIN = "hierarchy -top top; proc; flatten; opt_clean; write_cxxrtl -g0"
# Nets that are driven piece by piece look like loops to CXXRTL (`splitnets`).
_FLAT = (
    "hierarchy -top top; proc; flatten; opt_expr; opt_merge; opt_clean; splitnets -driver;"
    " opt_clean; write_rtlil"
)
# Net by net: CXXRTL repeats an expression wherever it inlines it, the compiler does not. It inlines
# nothing with a public name (`name_nets`) below -O6.
_NET_BY_NET = "write_cxxrtl -noflatten -O5 -g0"
_CYCLES = 200
"""Random cycles on which a fast library must equal the plain one."""


def make_library(
    design: str, name: str, work: Path, *, fast: bool = True, flags: Sequence[str] = ()
) -> None:
    """Write a design's library and the table of its ports into a folder.

    Parameters
    ----------
    design : str
        RTLIL as Amaranth writes it, its top module called ``top``.
    name : str
        What messages call it.
    work : Path
        An empty folder.
    fast : bool
        False leaves CXXRTL's code as it is.
    flags : sequence of str
        More options of the compiler for such code.

    Raises
    ------
    CompilerMissing
        No C++ compiler.
    ToolFailed
        Yosys or the compiler failed on the plain design; the message ends with their last lines.
    """
    if not fast:
        _plain(design, work, flags)
        return
    yosys = toolchain.find("yosys", native=False)
    try:
        _fast(design, work)
    except (Unfamiliar, toolchain.ToolFailed) as error:
        fault = str(error).partition("\n")[0]
    else:
        if yosys.version.startswith(tuple(f"{version}." for version in TESTED_YOSYS)):
            return
        note(f"{name}: {yosys} is not tested here, its library is compared with a plain one")
        beside = work / "plain"
        beside.mkdir()
        _plain(design, beside)
        fault = difference(work, beside)
        shutil.rmtree(beside)
        if fault is None:
            return
    note(f"{name}: {fault}; it is built as CXXRTL does it: the same bits, slower")
    for file in work.iterdir():
        file.unlink()
    _plain(design, work)


def difference(fast: Path, plain: Path) -> str | None:
    """Return in which cycle and output two libraries differ on random inputs; None if nowhere."""
    numbers = random.Random(1)
    table = read_ports(fast)
    first, second = (Instance(load(folder / LIBRARY), Ports(table)) for folder in (fast, plain))
    for cycle in range(_CYCLES):
        for port, (_, way, width) in table.items():
            if way == "input":
                value = numbers.getrandbits(width)
                first.set(port, value)
                second.set(port, value)
        states = [_step(sim, table) for sim in (first, second)]
        if states[0] != states[1]:
            differing = [
                port for port, *both in zip(table, *states, strict=False) if both[0] != both[1]
            ]
            return f"its fast library differs in cycle {cycle} at {', '.join(differing)}"
        if isinstance(states[0], str):
            return None  # an assertion of the gateware ended both
    return None


def _step(sim: Instance, table: dict) -> list[int] | str:
    """Return all ports of a cycle, which ends; or the message of an assertion that fails."""
    try:
        values = [sim.get(port) for port in table]
        sim.step()
    except AssertFailed as failed:
        return str(failed)
    return values


def read_ports(folder: Path) -> dict[str, tuple[int, str, int]]:
    """Return the ports of a library: name -> (number, ``input`` or ``output``, width)."""
    return json.loads((folder / "ports.json").read_text(encoding="utf-8"))


def read_waves(folder: Path) -> list[tuple[str, int]]:
    """Return what a waveform of a library shows: name and width of each value."""
    waves = json.loads((folder / "waves.json").read_text(encoding="utf-8"))
    return [(name, width) for name, width in waves]


def _plain(design: str, work: Path, flags: Sequence[str] = ()) -> None:
    _compile(_yosys(design, _PLAIN, work), design, work, single=False, flags=flags)


def _fast(design: str, work: Path) -> None:
    cpp = _settled(design, work)
    single = single_pass(cpp)
    cpp = specialise(cpp)
    if single and "clk" in ports_in(design):
        cpp = by_activity(cpp)
    _compile(cpp, design, work, single)


def _settled(design: str, work: Path) -> str:
    """Return the design in C++, equal parts shared as far as one evaluation settles it."""
    flat: set[str] = set()
    while True:
        nets = name_nets(_yosys(merge_modules(design, flat=flat), _FLAT, work))
        text = _yosys(nets, _NET_BY_NET, work)
        unknown = unfamiliar(text)
        if unknown:
            raise Unfamiliar(f"yosys writes {', '.join(unknown)}, which is not known here")
        cpp = settle_outputs(text)
        loose = set(unsettled(cpp))
        kept = set(re.findall(r"(?m)^bool (\w+)::eval\(", cpp)) - {"p_top"}
        if not loose or not kept:
            return cpp
        # Flattened, a path through the same part twice may be no loop at all.
        flat |= loose - {"p_top"} or kept


def _yosys(design: str, script: str, work: Path) -> str:
    """Return what the last command of a script, one that writes a file, makes of a design."""
    (work / "in.il").write_text(design, encoding="utf-8")
    out = work / "design.cc"
    toolchain.run(
        toolchain.find("yosys", native=False),
        ["-q", "-p", f"read_rtlil in.il; {script} {out.name}"],
        cwd=work,
        log=work / "yosys.log",
    )
    return out.read_text(encoding="utf-8")


def _compile(cpp: str, design: str, work: Path, single: bool, flags: Sequence[str] = ()) -> None:
    """Compile the C++ of a design with the harness; write the table of its ports."""
    found = ports_in(design)
    named = {name: port for name, port in found.items() if name not in ("clk", "rst")}
    text = [
        f"#define OHMGRID_SINGLE_PASS {int(single)}",
        f"#define OHMGRID_CLOCKED {int('clk' in found)}",
        f"#define OHMGRID_RESET {int('rst' in found)}",
    ]
    table = {}
    for direction in ("input", "output"):
        members = []
        for name, (way, width) in named.items():
            if way == direction:
                table[name] = (len(table), way, width)
                members.append(f"X({mangled(name)})")
        text.append(f"#define OHMGRID_{direction.upper()}S {' '.join(members)}")
    registers = registers_in(cpp)
    shown = [f"W({mangled(name)})" for name in table] + [f"W({wave.member})" for wave in registers]
    text.append(f"#define OHMGRID_WAVES {' '.join(shown)}")
    waves = [(name, width) for name, (_, _, width) in table.items()]
    waves += [(wave.name, wave.width) for wave in registers]
    (work / "waves.json").write_text(json.dumps(waves), encoding="utf-8")
    (work / "design.cc").write_text(cpp, encoding="utf-8")
    (work / "ports.inc").write_text("\n".join(text) + "\n", encoding="utf-8")
    (work / "ports.json").write_text(json.dumps(table), encoding="utf-8")
    headers = toolchain.yosys_data() / "include" / "backends" / "cxxrtl" / "runtime"
    find_compiler("C++").run(
        [*FLAGS, *flags, f"-I{headers}", "-I.", str(HARNESS), "-o", LIBRARY], work
    )
    # The C++ is as large as the library and can be had again.
    for name in ("in.il", "design.cc"):
        (work / name).unlink()

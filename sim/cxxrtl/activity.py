"""Activity: evaluate a part of a design only where something that it reads has changed.

Most of a tile rests most of the time: the device units while a vector is loaded, the converters
while cells are pulsed. CXXRTL evaluates all of it in every cycle. `by_activity` cuts the one
evaluation of a flat design into groups and guards each with a bit, set when a register, a memory,
an input or another group's value that it reads has changed. What is skipped would have computed
what it computed last, so no bit depends on it.

A group is what belongs to one submodule, and to one *rank*: how often the longest path to it goes
from one submodule to another. Ranks make the groups an order without cycles whatever the paths
through the hierarchy; within a rank no group reads another, so that small ones can be joined.
"""

import re
from collections import Counter, defaultdict
from typing import NamedTuple

from ohmgrid.sim.cxxrtl.words import Unfamiliar
from ohmgrid.tools.rtlil import mangled

__all__ = ["by_activity"]

WORTH = 36
"""Statements from which a submodule, or a rank of it, is worth a bit of its own."""

_BITS = 64

_TOP = re.compile(r"(?ms)^bool p_top::eval\(.*?\) \{\n(.*?)^\treturn converged;\n\}\n")
_COMMIT = re.compile(
    r"(?ms)^\ttemplate<class ObserverT>\n\tbool commit\(ObserverT &observer\) \{\n.*?^\t\}\n"
)
_CLASS = re.compile(r"(?ms)^struct p_top : public module \{\n(.*?)^\}; // struct p_top\n")
_LOCAL = re.compile(r"^\tvalue<(\d+)> (\w+);$")
_INPUT = re.compile(r"(?m)^\t/\*input\*/ value<(\d+)> (\w+);$")
_REGISTER = re.compile(r"(?m)^\t(?:/\*output\*/ )?wire<\d+> (\w+);$")
_NAME = re.compile(r"\b((?:(?:p|i|memory_p|memory_i|tmp)_|cell_p_\w+\.p_)\w+)(\.(?:curr|next))?")
_STORE = re.compile(r"(?:memory|cell)_\w+")
_CALL = re.compile(r"\tif \((cell_\w+)\.eval\(performer\)\) \{\n(.*?)\n\t\} else \{", re.S)
_QUEUED = re.compile(r"ohmgrid::(?:blend<\d+>|write)\((\w+)")
_VARIABLE = re.compile(r"\b(?:auto|value<\d+>|bool) (\w+)$")
_TEMPORARY = re.compile(r"\btmp_\d+\b")


class _Statement(NamedTuple):
    text: str
    place: str
    """Submodule that what it writes belongs to."""
    cost: int
    writes: frozenset[str]
    reads: frozenset[str]
    """Nets, registers and memories by name; registers that it writes are not among them."""


def by_activity(cpp: str) -> str:
    """Rewrite the evaluation and the commit of a clocked design that settles at once.

    Parameters
    ----------
    cpp : str
        What `ohmgrid.sim.cxxrtl.text.specialise` returns for a design with `single_pass`. A part
        that is a class of its own is one group.

    Returns
    -------
    str
        The same design: ``eval`` passes over groups at rest, ``commit`` over their registers.
    """
    found = _TOP.search(cpp)
    if found is None:
        raise Unfamiliar("expected an evaluation of p_top in CXXRTL's text, got none")
    widths: dict[str, str] = {}
    statements = _parse(found[1], widths)
    state = set(_REGISTER.findall(_CLASS.findall(cpp)[0]))
    state |= {name for s in statements for name in s.writes if _STORE.fullmatch(name)}
    worth = WORTH
    while len(groups := _groups(statements, state, worth)) > _BITS:
        worth += worth // 4
    return _rewritten(cpp, groups, state, widths)


def _parse(body: str, widths: dict[str, str]) -> list[_Statement]:
    """Split the body into statements, in order; collect the widths of local nets."""
    texts: list[list[str]] = []
    open_block = False
    for line in body.splitlines():
        if line.lstrip().startswith("//"):
            continue
        if local := _LOCAL.match(line):
            widths[local[2]] = local[1]
        elif open_block:
            texts[-1].append(line)
            open_block = line != "\t}"
        elif line.startswith(("\tbool converged", "\tbool posedge_p_clk")):
            continue
        else:
            # A memory's index is a variable of its own: it stays with what uses it.
            used = set(_TEMPORARY.findall(line))
            if texts and used and used & set(_TEMPORARY.findall("\n".join(texts[-1]))):
                texts[-1].append(line)
            else:
                texts.append([line])
            open_block = line.endswith("{")
    parsed: list[_Statement] = []
    for lines in texts:
        text = "\n".join(lines)
        if call := _CALL.match(text):
            inputs = {n for s in parsed for n in s.writes if n.startswith(f"{call[1]}.")}
            parsed.append(_call(call[1], call[2], inputs))
        else:
            parsed.append(_statement(text))
    return parsed


def _statement(text: str) -> _Statement:
    writes: dict[str, None] = {}
    reads: set[str] = set()
    variables = set()
    for line in text.splitlines():
        left, assigned, right = line.partition(" = ")
        if variable := _VARIABLE.search(left):
            variables.add(variable[1])
        if not assigned or variable:
            left, right = "", line
        writes |= dict.fromkeys(name for name, _ in _NAME.findall(left))
        writes |= dict.fromkeys(_QUEUED.findall(right))
        reads |= {name for name, part in _NAME.findall(right) if part != ".next"}
    place = _place(next(iter(writes), ""))
    return _Statement(text, place, 1, frozenset(writes), frozenset(reads - variables - {"p_clk"}))


def _call(cell: str, outputs: str, inputs: set[str]) -> _Statement:
    """Return the evaluation of a part that is a class of its own: a group by itself.

    Its outputs are made of registers (`ohmgrid.sim.cxxrtl.text.settle_outputs`).
    """
    nets = frozenset(line.strip().partition(" = ")[0] for line in outputs.splitlines())
    text = f"\t{cell}.eval(performer);\n{outputs}"
    return _Statement(text, cell, _BITS * WORTH, nets | {cell}, frozenset({cell, *inputs}))


def _place(name: str) -> str:
    """Return the submodule of a net, register or memory, ``a.b.c``, of numbered copies without
    the number: equal parts work at the same time.
    """
    name = re.sub(r"_([0-9a-f]{2})_|__", lambda m: chr(int(m[1], 16)) if m[1] else "_", name)
    path = name.partition("_")[2].removeprefix("p_").split(".")[:-1]
    return ".".join(re.sub(r"\d+$|\$\d+$", "", part) for part in path)


def _groups(statements: list[_Statement], state: set[str], worth: int) -> list[list[_Statement]]:
    """Return the groups in the order of their evaluation, each in the order of its statements."""
    place_of = _joined(statements, worth)
    ranked: defaultdict[int, list[_Statement]] = defaultdict(list)
    writers: defaultdict[str, set[tuple[int, str]]] = defaultdict(set)
    for statement in statements:
        place = place_of[statement.place]
        before = [writer for name in statement.reads - state for writer in writers[name]]
        rank = max((rank + (other != place) for rank, other in before), default=0)
        ranked[rank].append(statement)
        for name in statement.writes:
            writers[name].add((rank, place))
    groups: defaultdict[tuple[int, str], list[_Statement]] = defaultdict(list)
    for rank in sorted(ranked):
        # What a rank holds of a place is less than all of it. Joined anew are whole places only:
        # the ranks do not tell in which order the statements of one place are evaluated.
        here = [s._replace(place=place_of[s.place]) for s in ranked[rank]]
        joined = _joined(here, worth)
        for statement in here:
            groups[rank, joined[statement.place]].append(statement)
    return list(groups.values())


def _joined(statements: list[_Statement], worth: int) -> dict[str, str]:
    """Return for each submodule the one that it is evaluated with: itself, or what contains it."""
    sizes: Counter[str] = Counter()
    for statement in statements:
        sizes[statement.place] += statement.cost
    places = set(sizes)
    for place in sizes:
        while place:
            place = place.rpartition(".")[0]
            places.add(place)
    joined: dict[str, str] = {}
    deepest_first = sorted(places, key=lambda p: (bool(p), p.count("."), p), reverse=True)
    for place in deepest_first:
        if place and sizes[place] < worth:
            joined[place] = place.rpartition(".")[0]
            sizes[joined[place]] += sizes[place]
    final: dict[str, str] = {}
    for place in reversed(deepest_first):
        final[place] = final[joined[place]] if place in joined else place
    return final


def _rewritten(
    cpp: str, groups: list[list[_Statement]], state: set[str], widths: dict[str, str]
) -> str:
    """Return the design with one function for each group's evaluation, and one for its commit."""
    readers: defaultdict[str, int] = defaultdict(int)
    users: defaultdict[str, int] = defaultdict(int)
    for k, group in enumerate(groups):
        for statement in group:
            for name in statement.reads:
                readers[name] |= 1 << k
            for name in statement.reads | statement.writes:
                users[name] |= 1 << k
    crossing = [name for name in widths if users[name] & (users[name] - 1)]
    members = [f"value<{widths[name]}> {name};" for name in crossing]
    # The first commit, before any evaluation, is of all: outputs then follow their registers.
    every = (1 << len(groups)) - 1
    members.append(f"uint64_t waiting = {every:#x}ull, ran = {every:#x}ull;")

    functions, evaluated, committed = [], [], []
    for width, name in _INPUT.findall(_CLASS.findall(cpp)[0]):
        if readers[name]:
            members.append(f"value<{width}> seen_{name};")
            evaluated.append(
                f"if (ohmgrid::changed(seen_{name}, {name})) todo |= {readers[name]:#x}ull;"
            )
            evaluated.append(f"seen_{name} = {name};")
    for k, group in enumerate(groups):
        bit = 1 << k
        written = sorted({name for statement in group for name in statement.writes})
        members += [
            f"__attribute__((noinline)) uint64_t eval_{k}(performer *, bool posedge_p_clk);",
            f"__attribute__((noinline)) uint64_t commit_{k}();",
        ]
        local = [name for name in written if name in widths and users[name] == bit]
        shown = [name for name in written if name not in state and readers[name] & ~bit]
        lines = [f"\tvalue<{widths[name]}> {name};" for name in local]
        lines += [f"\tconst auto was_{mangled(name)} = {name};" for name in shown]
        lines += [statement.text for statement in group]
        by_readers: defaultdict[int, list[str]] = defaultdict(list)
        for name in shown:
            change = f"ohmgrid::changed(was_{mangled(name)}, {name})"
            by_readers[readers[name] & ~bit].append(change)
        functions.append(
            f"uint64_t p_top::eval_{k}(performer *performer, bool posedge_p_clk) {{\n"
            + "\n".join(lines)
            + f"\n{_marks(by_readers)}}}\n"
        )
        by_readers = defaultdict(list)
        for name in written:
            if _STORE.fullmatch(name):
                by_readers[readers[name]].append(f"uint32_t({name}.commit(nobody))")
            elif name in state:
                by_readers[readers[name]].append(f"ohmgrid::take({name})")
        functions.append(
            f"uint64_t p_top::commit_{k}() {{\n\tobserver nobody;\n{_marks(by_readers)}}}\n"
        )
        evaluated.append(
            f"if (todo & {bit:#x}ull) {{ ran |= {bit:#x}ull; todo |= eval_{k}(performer, edge); }}"
        )
        committed.append(f"if (ran & {bit:#x}ull) waiting |= commit_{k}();")
    evaluation = "\n\t".join(
        [
            "bool p_top::eval(performer *performer) {",
            "const bool edge = p_clk.data[0];",
            "uint64_t todo = waiting;",
            "ran = 0;",
            *evaluated,
            "waiting = edge ? todo & ~ran : todo;",
            "return true;\n}\n",
        ]
    )
    commit = "\n\t\t".join(
        [
            "\ttemplate<class ObserverT>\n\tbool commit(ObserverT &) {",
            *committed,
            "return true;\n\t}\n",
        ]
    )
    cpp = _TOP.sub(lambda _: "\n".join(functions) + evaluation, cpp)
    cpp = _CLASS.sub(lambda found: _COMMIT.sub(lambda _: commit, found[0]), cpp)
    declared = "".join(f"\t{member}\n" for member in members)
    return cpp.replace("}; // struct p_top\n", f"{declared}}}; // struct p_top\n")


def _marks(by_readers: dict[int, list[str]]) -> str:
    """Return statements that return the union of the masks with a change among their terms."""
    lines = ["\tuint64_t todo = 0;"]
    for mask, changes in by_readers.items():
        lines.append(f"\tif ({' | '.join(changes)}) todo |= {mask:#x}ull;")
    return "\n".join([*lines, "\treturn todo;\n"])

"""Rewriting for speed: RTLIL before CXXRTL sees it, and the C++ that CXXRTL writes.

Amaranth writes one module for each instance, and CXXRTL flattens them all: sixteen equal lanes
become one function that no compiler takes quickly and no instruction cache holds. `merge_modules`
makes one module of equal ones, and marks the large ones to stay a class of their own;
`settle_outputs` keeps that from costing a second evaluation.

CXXRTL makes each part of a concatenation a template of its own and evaluates a design four times a
cycle. `specialise` turns concatenations into masks and shifts, cells and multiplexers of up to 64
bits into machine operations without branches (noise makes branches unpredictable), skips writes
with an empty mask, and makes a cycle one evaluation where the design settles in one. What a pattern
does not match stays as it is, and is right as it is. Text with a word that nobody here has met is
not rewritten at all (`cxxrtl_words`).
"""

import re
from collections import Counter
from collections.abc import Iterable

from ohmgrid.sim.cxxrtl.words import Unfamiliar

__all__ = [
    "name_nets",
    "settle_outputs",
    "single_pass",
    "specialise",
    "unsettled",
]


def name_nets(rtlil: str) -> str:
    """Give every net of a flattened design without a name of its own a public one: the path of the
    submodule that it came from, and a number.
    """
    names = {}
    for k, net in enumerate(re.findall(r"(?m)^  wire [^\n]*?(\$\S+)$", rtlil)):
        path = re.match(r"\$flatten((?:\\[^\\]*\.)+)", net)
        names[net] = rf"\{path[1].replace(chr(92), '') if path else ''}n{k}"
    return re.sub(r"(?<!\S)\$\S+", lambda net: names.get(net[0], net[0]), rtlil)


_EDGE = "return !prev_p_clk.slice<0>().val() && p_clk.slice<0>().val();"
_EVALS = re.compile(r"(?ms)^bool (\w+)::eval\((.*?)^}\n")
_CLOCKED = re.compile(r"(?ms)^\tif \(posedge_p_clk\) \{\n.*?^\t\}\n")
_OUTPUT = re.compile(r"(?m)^\tp_\w+\.next = .*;\n")
_OTHER_EDGE = re.compile(r"\bbool (?:negedge_\w+|posedge_(?!p_clk\b)\w+)\(\) const")


def unsettled(cpp: str) -> list[str]:
    """Return the classes that one evaluation does not settle: with feedback, or with outputs that
    only the next evaluation sees.
    """
    return [name for name, body in _EVALS.findall(cpp) if "bool converged = false" in body]


def single_pass(cpp: str) -> bool:
    """Tell whether one evaluation settles the design, and ``clk`` is its only clock."""
    return (
        not unsettled(cpp)
        and not _OTHER_EDGE.search(cpp)
        and cpp.count("posedge_p_clk() const") == cpp.count(_EDGE)
    )


def settle_outputs(cpp: str) -> str:
    """Compute a submodule's outputs that are made of registers when the registers change.

    CXXRTL computes such an output with the other logic, so that whoever uses it sees it one
    evaluation later. As part of the commit it is always up to date. Classes with any other logic
    behind their outputs are left as they are.
    """
    for name in unsettled(cpp):
        found = re.search(rf"(?ms)^bool {name}::eval\(.*?^}}\n", cpp)
        if found is None:
            raise Unfamiliar(f"expected an evaluation of {name} in CXXRTL's text, got none")
        body = found[0]
        between_edges = _CLOCKED.sub("", body)
        moved = [line for line in _OUTPUT.findall(between_edges) if _registers_only(line)]
        if len(moved) != len(re.findall(r"\.next\b", between_edges)) or "eval(performer)" in body:
            continue
        outputs = {line.partition(".")[0].strip() for line in moved}
        if any(re.search(rf"\b{output}\.curr\b", body) for output in outputs):
            continue
        settled = body.replace("bool converged = false", "bool converged = true")
        commit = []
        for line in moved:
            settled = settled.replace(line, "")
            commit.append("\t" + line.replace(".next = ", ".curr = ", 1))
        cpp = cpp.replace(body, settled)
        start = cpp.index(f"struct {name} : public module {{")
        end = cpp.index("\t\treturn changed;\n", start)
        cpp = cpp[:end] + "".join(commit) + cpp[end:]
        # The outputs' own registers hold nothing any more.
        for output in outputs:
            at = cpp.index(f"\t\tif ({output}.commit(observer)) changed = true;\n", start)
            cpp = cpp[:at] + cpp[cpp.index("\n", at) + 1 :]
    return cpp


def _registers_only(line: str) -> bool:
    """Tell whether an assignment reads nothing but registers."""
    names = re.findall(r"\b[pi]_\w+(?:\.\w+)?", line.partition(" = ")[2])
    return all(name.endswith(".curr") for name in names)


def specialise(cpp: str) -> str:
    """Rewrite CXXRTL's C++ for the harness; where `single_pass` holds, for its short cycle too."""
    if single_pass(cpp):
        cpp = cpp.replace(_EDGE, "return p_clk.data[0];")
        cpp = re.sub(
            r"if \(([pi]_\w+)\.commit\(observer\)\) changed",
            r"if (ohmgrid::take(\1)) changed",
            cpp,
        )
    cpp = re.sub(r"\b(memory_\w+)\.update\(", r"ohmgrid::write(\1, ", cpp)
    cpp = _CELLS.sub(r"ohmgrid::\g<0>", cpp)
    # A check that holds costs no call.
    cpp = re.sub(
        r"(?m)^(\t+)(performer->on_check\(flavor::ASSERT, condition)", r"\1if (!condition) \2", cpp
    )
    cpp = _concatenations(cpp)
    return _MUX.sub(lambda line: f"{line[1]}{_picked(line[2])};", cpp)


# What the harness has a faster version of.
_CELLS = re.compile(
    r"\b(?:(?:add|sub|mul|and|or|xor|eq|ne|lt|le|gt|ge)_(?:uu|ss)"
    r"|(?:not|neg)_[us]|reduce_(?:or|and|xor|bool)|logic_not)<\d+>\("
)

_MUX = re.compile(r"(?m)^(\t+\S+ = )(\(.* \? .* : .*\));$")


def _picked(expression: str) -> str:
    """``(a ? b : c)``, nested or not, as calls of ``pick``; anything else as it is."""
    depth, cuts = 0, []
    for at, c in enumerate(expression):
        depth += (c == "(") - (c == ")")
        if depth == 0 and at < len(expression) - 1:
            return expression  # not one pair of parentheses around all of it
        # The colons of a ternary stand between blanks, those of a name do not.
        if depth == 1 and expression[at - 1 : at + 2] in (" ? ", " : "):
            cuts.append(at)
    if len(cuts) != 2:
        return expression
    condition, yes, no = (
        expression[1 : cuts[0] - 1],
        expression[cuts[0] + 2 : cuts[1] - 1],
        expression[cuts[1] + 2 : -1],
    )
    return f"ohmgrid::pick({condition}, {_picked(yes)}, {_picked(no)})"


_NAME = r"[a-zA-Z_]\w*(?:\.curr)?"
_REPEAT = r"(?:(?:\.val\(\))?\.repeat<\d+>\(\))?"
_ATOM = rf"(?:{_NAME}(?:\.slice<\d+(?:,\d+)?>\(\))?{_REPEAT}|value<\d+>\{{[^}}]*\}})"
_MORE = rf"(?:\.concat\({_ATOM}\))+"
_SLICE = rf"{_NAME}(?:\.slice<\d+(?:,\d+)?>\(\){_REPEAT}|{_REPEAT[:-1]})"
_READ = re.compile(rf"(?<![\w.)])({_ATOM}{_MORE}|{_SLICE})\.val\(\)")
_ASSIGN = re.compile(rf"(?m)^(\t+)({_ATOM}{_MORE}) = (.*);$")
_PART = re.compile(
    rf"({_NAME})(?:\.slice<(\d+)(?:,(\d+))?>\(\))?(?:(?:\.val\(\))?\.repeat<(\d+)>\(\))?"
    r"|value<(\d+)>\{([^}]*)\}"
)
_DECLARED = re.compile(r"\b(?:value|wire)<(\d+)> (\w+)")
_CLASS = re.compile(r"(?ms)^struct (\w+) : public module \{\n(.*?)^\};")
_EVAL = re.compile(r"(?ms)^bool (\w+)::eval\(.*?^\}\n")


def _concatenations(cpp: str) -> str:
    members = {name: _widths(body) for name, body in _CLASS.findall(cpp)}

    def rewrite(function: re.Match[str]) -> str:
        widths = members.get(function[1], {}) | _widths(function[0])
        text = _READ.sub(lambda chain: _gather(chain, widths), function[0])
        return _ASSIGN.sub(lambda chain: _scatter(chain, widths), text)

    return _EVAL.sub(rewrite, cpp)


def _widths(text: str) -> dict[str, int]:
    return {name: int(width) for width, name in _DECLARED.findall(text)}


def _bits(chain: str, widths: dict[str, int]) -> list[tuple[str | None, int]] | None:
    """Return each bit of a concatenation from the lowest: (name, bit), or (None, its value)."""
    bits: list[tuple[str | None, int]] = []
    atoms = re.split(r"\.concat\(", chain)
    for atom in reversed([atoms[0], *(atom[:-1] for atom in atoms[1:])]):
        part = _PART.fullmatch(atom)
        if part is None:
            return None
        name, high, low, times, width, chunks = part.groups()
        if name is None:
            number = sum(
                int(chunk.strip().rstrip("u"), 0) << 32 * k
                for k, chunk in enumerate(chunks.split(","))
            )
            bits += [(None, number >> k & 1) for k in range(int(width))]
        elif high is not None:
            bits += [(name, k) for k in range(int(low or high), int(high) + 1)] * int(times or 1)
        elif name.removesuffix(".curr") in widths:
            width = widths[name.removesuffix(".curr")]
            bits += [(name, k) for k in range(width)] * int(times or 1)
        else:
            return None
    return bits


def _masks(entries: Iterable[tuple[str, int, int, int]]) -> dict[tuple[str, int, int], int]:
    """Group single bits (name, word, shift, bit) by what one mask and one shift move."""
    masks: dict[tuple[str, int, int], int] = {}
    for name, word, shift, bit in entries:
        masks[name, word, shift] = masks.get((name, word, shift), 0) | 1 << bit
    return masks


def _gather(chain: re.Match[str], widths: dict[str, int]) -> str:
    """``a.slice<..>().concat(b)...val()`` as masks and shifts of 64-bit words."""
    bits = _bits(chain[1], widths)
    if bits is None:
        return chain[0]
    copies = Counter(bits)
    masks = _masks(
        (name, at // 64, bit - at % 64, at % 64)
        for at, (name, bit) in enumerate(bits)
        if name is not None and copies[name, bit] <= 2
    )
    # One bit in many places, as in a sign extension.
    spread = _masks(
        (name, at // 64, bit, at % 64)
        for at, (name, bit) in enumerate(bits)
        if name is not None and copies[name, bit] > 2
    )
    words = []
    for word in range((len(bits) + 63) // 64):
        own = bits[64 * word : 64 * word + 64]
        constant = sum(bit << k for k, (name, bit) in enumerate(own) if name is None)
        terms = [
            f"(ohmgrid::field<{shift}>({name}) & {mask:#x}ull)"
            for (name, at, shift), mask in masks.items()
            if at == word
        ]
        terms += [
            f"(ohmgrid::spread<{bit}>({name}) & {mask:#x}ull)"
            for (name, at, bit), mask in spread.items()
            if at == word
        ]
        if constant or not terms:
            terms.append(f"uint64_t({constant:#x}ull)")
        words.append(" | ".join(terms))
    return f"ohmgrid::words<{len(bits)}>({', '.join(words)})"


def _scatter(chain: re.Match[str], widths: dict[str, int]) -> str:
    """``a.slice<..>().concat(b)... = expression;`` as masked updates of 64-bit words."""
    bits = _bits(chain[2], widths)
    if bits is None or any(name is None for name, _ in bits):
        return chain[0]
    masks = _masks(
        (name, bit // 64, at - bit % 64, bit % 64)
        for at, (name, bit) in enumerate(bits)
        if name is not None
    )
    blends = " ".join(
        f"ohmgrid::blend<{word}>({name}, ohmgrid::field<{shift}>(rhs), {mask:#x}ull);"
        for (name, word, shift), mask in masks.items()
    )
    return f"{chain[1]}{{ const auto rhs = {chain[3]}; {blends} }}"

"""The words of CXXRTL's C++ that the rewriting knows: text with any other is left as it is.

`cxxrtl_text` and `cxxrtl_activity` find their way by patterns. A later yosys may write what these
patterns never saw; it then writes another word.
"""

import re

__all__ = ["Unfamiliar", "unfamiliar"]


class Unfamiliar(Exception):
    """What yosys wrote is not what is rewritten here; the message says what."""


_NO_CODE = re.compile(r"//[^\n]*|/\*.*?\*/|\"(?:[^\"\\]|\\.)*\"", re.S)
"""Comments and texts."""
_WORD = re.compile(r"(?<![\w'])[A-Za-z_]\w*")
_NET = re.compile(r"(?:[pi]|memory_[pi]|cell_p|tmp|prev_p|posedge_p|negedge_p|mem_init)_\w+")
_CELL = re.compile(
    r"(?:add|sub|mul|divfloor|modfloor|and|or|xor|xnor|eq|ne|lt|le|gt|ge|shl|shr|sshl|sshr|shift)"
    r"_[us][us]|(?:not|neg|pos)_[us]|reduce_(?:and|or|xor|xnor|bool)|logic_(?:and|or|not)"
)
_CPP = """
    auto bool char class const else false if namespace nullptr operator override public return
    static std string struct template this true using void
    include defined endif cc h capi cerr
"""
_CXXRTL = """
    ASSERT CXXRTL_ASSERT CXXRTL_INCLUDE_CAPI_IMPL CXXRTL_INCLUDE_VCD_CAPI_IMPL LITERAL MINUS
    ObserverT RIGHT attributes begin buf changed commit concat condition converged copy curr cxxrtl
    cxxrtl_capi cxxrtl_capi_vcd cxxrtl_design cxxrtl_yosys data end eval flavor fmt_part formatter
    index interior lazy_fmt memory memory_index metadata_map module next observer on_check performer
    render repeat reset slice update val valid value wire
"""
_KNOWN = frozenset((_CPP + _CXXRTL).split())


def unfamiliar(cpp: str) -> list[str]:
    """Return the words of a text of CXXRTL's that are not known here, each once."""
    words = set(_WORD.findall(_NO_CODE.sub(" ", cpp)))
    return sorted(
        word for word in words - _KNOWN if not (_NET.fullmatch(word) or _CELL.fullmatch(word))
    )

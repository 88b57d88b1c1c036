"""What yosys is told: from a design to cells, by family of parts.

ECP5: the eight flip-flops of a tile share one net that sets or resets them, and a flip-flop
without one counts as another net. A core has some 160 conditions that reset a few registers each;
given a net each, tiles stay half empty and the router has little to choose from. So a reset that
fewer than `_FEWEST_RESET` flip-flops share is made logic in front of them (`dfflegalize` between
the two parts of yosys' own flow).
"""

from collections.abc import Callable

__all__ = ["FAMILIES", "synthesis"]

# ABC's usual steps, mapped twice: 2 % fewer LUTs.
_TWICE = (
    "+&scorr;&sweep;&dc2;&dch,-f,-r;&ps;&if,{W},{D},{R},-v;&mfs;&st;&dch,-f;&if,{W},{D},{R},-v;&mfs"
)
_FEWEST_RESET = 48
_FLIP_FLOPS = " ".join(
    f"-cell $_{kind}_ {starts}"
    for kind, starts in (
        *(("DFF_?", "01"), ("DFF_?P?", "r"), ("SDFF_?P?", "r")),
        *(("DFFE_??", "01"), ("DFFE_?P??", "r"), ("SDFFE_?P??", "r")),
    )
)
"""Those of an ECP5, and which values they may start with, as yosys' own flow has them."""


def _ecp5(options: str) -> str:
    # Without wide multiplexers, and with comparisons with constants in LUTs: fewer LUTs.
    flow = f"synth_ecp5 -nowidelut -cmp2softlogic {options}"
    return (
        f'scratchpad -set abc9.script "{_TWICE}"; {flow} -run begin:map_ffs; opt_clean;'
        f" dfflegalize {_FLIP_FLOPS} -minsrst {_FEWEST_RESET}; {flow} -run map_ffs:"
    )


FAMILIES: dict[str, Callable[[str], str]] = {
    "ecp5": _ecp5,
    # iCE40 makes no multiplier block unasked; HX parts have none.
    "ice40": "synth_ice40 -dsp {}".format,
    "ice40hx": "synth_ice40 {}".format,
    "gowin": "synth_gowin -family gw2a -nowidelut {}".format,
}
"""family -> what makes yosys' commands of further options; of iCE40, LP and HX parts have no
multiplier blocks."""


def synthesis(family: str, options: str = "") -> str:
    """Return yosys' commands that make cells of a design whose top module is ``top``.

    Parameters
    ----------
    family : str
        Of `FAMILIES`.
    options : str
        Further ones of the family's flow.
    """
    return FAMILIES[family](f"-top top {options}".strip())

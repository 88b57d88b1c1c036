"""A register that stays beside others of the same content.

What enables wide words in many places needs a register in each place. Synthesis makes one of equal
registers, and one net across the chip of their outputs; so on ECP5 each is named outright. The
twin in the model is the value itself.
"""

from typing import Any

from amaranth.hdl import (
    ClockSignal,
    Fragment,
    Instance,
    Module,
    ResetInserter,
    ResetSignal,
    Signal,
    Value,
)
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["OwnRegister", "nearby", "reset_nearby"]


class OwnRegister(wiring.Component):
    """``o`` is ``i`` of a cycle ago, 0 after a reset.

    Parameters
    ----------
    width : int

    Members
    -------
    i : In(width)
    o : Out(width)
    """

    def __init__(self, width: int = 1):
        super().__init__({"i": In(width), "o": Out(width)})

    def elaborate(self, platform):
        m = Module()
        if getattr(platform, "family", None) == "ecp5":
            for k, (i, o) in enumerate(zip(self.i, self.o, strict=True)):
                m.submodules[f"bit{k}"] = Instance(
                    "TRELLIS_FF",
                    p_GSR="AUTO",
                    p_CEMUX="1",
                    p_CLKMUX="CLK",
                    p_LSRMUX="LSR",
                    p_SRMODE="LSR_OVER_CE",
                    p_REGSET="RESET",
                    i_CLK=ClockSignal(),
                    i_LSR=ResetSignal(),
                    i_DI=i,
                    o_Q=o,
                )
        else:
            m.d.sync += self.o.eq(self.i)
        return m


def nearby(m: Module, value: Any, name: str) -> Any:
    """Return a value (unsigned bits, or a view) of a cycle ago, from an `OwnRegister`."""
    bits = Value.cast(value)
    m.submodules[name] = register = OwnRegister(len(bits))
    m.d.comb += register.i.eq(bits)
    return data.View(value.shape(), register.o) if isinstance(value, data.View) else register.o


class _ResetNearby(ResetInserter):
    """Resets each module of a part by an `OwnRegister`."""

    def __init__(self, reset: Value, platform: Any):
        super().__init__(reset)
        self._reset, self._platform = reset, platform

    def _insert_control(self, fragment, domain, lhs_masks):
        register = OwnRegister()
        fragment.add_statements("comb", register.i.eq(self._reset))
        fragment.add_subfragment(Fragment.get(register, self._platform), "reset_nearby")
        self.controls[domain] = register.o
        super()._insert_control(fragment, domain, lhs_masks)


def reset_nearby(m: Module, reset: Value, platform: Any) -> ResetInserter:
    """Return what resets a part a cycle after ``reset``: each of its modules by a register there.

    One net to all registers of a core goes across the chip and back. What an `OwnRegister` within
    the part holds is not reset: ``reset`` has to last until it has left, one behind the other.
    """
    if getattr(platform, "family", None) == "ecp5":
        return _ResetNearby(reset, platform)
    late = Signal(name="reset_late")
    m.d.sync += late.eq(reset)
    return ResetInserter(late)

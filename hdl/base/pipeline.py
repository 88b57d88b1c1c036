"""What every pipeline needs: a value of some cycles ago."""

from typing import Any

from amaranth.hdl import Cat, Module, Signal, Value

__all__ = ["delayed", "moving", "strobe_after"]


def delayed(m: Module, value: Value, name: str, cycles: int = 1) -> Any:
    """Return a value of some cycles ago, from registers without reset: for data.

    Parameters
    ----------
    name : str
        Name of the register, numbered if there are several.
    cycles : int
        0 gives the value itself.

    Returns
    -------
    Signal, or ``value`` itself after 0 cycles
    """
    for n in range(cycles):
        register = Signal.like(value, name=f"{name}_{n}" if cycles > 1 else name, reset_less=True)
        m.d.sync += register.eq(value)
        value = register
    return value


def strobe_after(m: Module, strobe: Value, cycles: int, name: str) -> Any:
    """Return a strobe of so many cycles ago; a reset forgets those on their way."""
    if not cycles:
        return strobe
    passed = Signal(cycles, name=name)
    m.d.sync += passed.eq(Cat(strobe, passed))
    return passed[-1]


def moving(m: Module, strobe: Value, cycles: int) -> Value:
    """Return a value that is high from a strobe until so many cycles after the last one."""
    # One bit says that some are left: what is returned goes far.
    left, more = Signal(range(cycles + 1)), Signal()
    m.d.sync += more.eq(left > 1)
    with m.If(strobe):
        m.d.sync += [left.eq(cycles), more.eq(1)]
    with m.Elif(left != 0):
        m.d.sync += left.eq(left - 1)
    return strobe | more

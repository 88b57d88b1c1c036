"""What every pipeline needs: a value of some cycles ago."""

from amaranth.hdl import Module, Signal, Value

__all__ = ["delayed"]


def delayed(m: Module, value: Value, name: str, cycles: int = 1) -> Value:
    """Return a value of some cycles ago, from registers without reset: for data."""
    for n in range(cycles):
        register = Signal.like(value, name=f"{name}_{n}" if cycles > 1 else name, reset_less=True)
        m.d.sync += register.eq(value)
        value = register
    return value

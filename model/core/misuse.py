"""What no verb of the step table can do (golden model)."""

from ohmgrid.registers.steps import ARRAY_BITS, Bank, Func, Step, StepVerb, vector

__all__ = ["is_misused"]


def is_misused(step: Step, results: int, planned: bool, apart: bool, buffers: bool) -> bool:
    """Return whether a step asks for what its verb cannot do.

    Functions of other results than those of the last MAC, a forward one of the same array in the
    same slot; vectors of the other side; a plan for an array that is planned; buffers where there
    are none.

    Parameters
    ----------
    step : Step
    results : int
        Array of the last MAC, if that was such a one; else -1.
    planned : bool
        The step's array is planned.
    apart : bool
        Its vectors are in a slot of their own.
    buffers : bool
        The build has any.
    """
    own, back = step.array == results, step.way & 1
    bank, func = step.dst >> ARRAY_BITS, step.func & 7
    match step.verb:
        case StepVerb.TAKE:
            return bank != Bank.X
        case StepVerb.WAIT:
            return bank != Bank.D or (apart and not buffers)
        case StepVerb.MAC:
            expected = Func.BELOW if back and bank else Func.VALUE
            side = Bank.D if back or apart else Bank.X
            return func != expected or bank not in (Bank.NONE, side)
        case StepVerb.LINE:
            return bank != Bank.X
        case StepVerb.LOSS:
            errors = step.dst == vector(Bank.D, step.array)
            return not (own and errors and func in (Func.SHARE, Func.SQUARED))
        case StepVerb.SEND:
            return not own or (apart and not buffers)
        case StepVerb.COUNT:
            return results < 0
        case StepVerb.PLAN:
            return planned
    return False

"""Orders of verbs: step tables of a net for training, for testing, and for training with a host.

A mini-batch takes all its examples forward and backward, each into a slot of its own, and then
updates with one after the other; an example alone is a mini-batch of one. Standard library only.
"""

from collections.abc import Sequence

from ohmgrid.registers.layers import ACTIVATIONS, LINEAR
from ohmgrid.registers.steps import (
    APART,
    IF_DUE,
    SLOT,
    Bank,
    Func,
    Step,
    StepVerb,
    Until,
    vector,
)

__all__ = [
    "backward_scale",
    "forward_scale",
    "hosted",
    "predicting",
    "sensing",
    "testing",
    "training",
    "transfers",
]


def forward_scale(layer: int) -> int:
    """Return the number of the scale of a layer's results."""
    return 2 * layer


def backward_scale(layer: int) -> int:
    """Return the number of the scale of a layer's backward results."""
    return 2 * layer + 1


def _forward(layers: int, kind: int) -> list[Step]:
    """Return the steps from an example's inputs to the results of the last layer."""
    steps = [Step(StepVerb.TAKE, dst=vector(Bank.X, 0), index=SLOT)]
    for layer in range(layers):
        last = layer == layers - 1
        steps.append(
            Step(
                StepVerb.MAC,
                array=layer,
                a=vector(Bank.X, layer),
                dst=0 if last else vector(Bank.X, layer + 1),
                index=SLOT,
                func=Func.VALUE if last else Func.VALUE | kind << 3,
                coef=forward_scale(layer),
            )
        )
    return steps


def _learning(layers: int, kind: int, plans: bool = False) -> list[Step]:
    """Return the steps from the errors of the last layer to those of the first.

    With ``plans`` an update is planned as soon as its errors are there.
    """
    steps = []
    for layer in range(layers - 1, -1, -1):
        if plans:
            steps.append(_update(StepVerb.PLAN, layer))
        if layer:
            steps.append(
                Step(
                    StepVerb.MAC,
                    array=layer,
                    way=1,
                    a=vector(Bank.D, layer),
                    dst=vector(Bank.D, layer - 1),
                    index=SLOT,
                    func=Func.BELOW | kind << 3,
                    coef=backward_scale(layer),
                )
            )
    return steps


def _update(verb: StepVerb, layer: int) -> Step:
    """Return the step that plans, or does, the update of a layer with the vectors of one slot."""
    x, d = vector(Bank.X, layer), vector(Bank.D, layer)
    return Step(verb, array=layer, a=x, b=d, index=SLOT)


def _updates(layers: int, *verbs: StepVerb) -> list[Step]:
    """Return steps that update, the last layer first."""
    return [_update(verb, layer) for verb in verbs for layer in range(layers - 1, -1, -1)]


def _batches(steps: list[Step], updates: list[Step]) -> list[Step]:
    """Return a table that fills mini-batches by some steps, then updates, until all are taken."""
    filled = [*steps, Step(StepVerb.LOOP, dst=0, cond=Until.FILLED)]
    drained = [*updates, Step(StepVerb.LOOP, dst=len(filled), cond=Until.DRAINED)]
    return [*filled, *drained, *_rest()]


def _counted(layers: int, kind: int, activation: str, softmax: bool) -> list[Step]:
    """Return the steps from an example's inputs to the errors of the last layer and the answer."""
    last = layers - 1
    at_output = LINEAR if activation == "relu" else kind
    loss = Step(
        StepVerb.LOSS,
        array=last,
        dst=vector(Bank.D, last),
        index=SLOT,
        func=Func.SHARE if softmax else Func.SQUARED | at_output << 3,
        coef=forward_scale(last),
    )
    return [*_forward(layers, kind), loss, Step(StepVerb.COUNT)]


def _rest() -> list[Step]:
    """Return the steps that begin anew with the next example, or end."""
    return [Step(StepVerb.LOOP, dst=0, cond=Until.EXAMPLES), Step(StepVerb.END)]


def transfers(columns: Sequence[int], buffered: bool = False) -> list[Step]:
    """Return the steps that update weights of two arrays, the last layer first.

    Parameters
    ----------
    columns : sequence of int
        Of each layer, columns that a transfer reads. The slow array of a layer has its number, the
        fast one as many more as there are layers.
    buffered : bool
        What is read goes through buffers, else it is written as it is.
    """
    steps, layers = [], len(columns)
    for layer in range(layers - 1, -1, -1):
        fast, x, d = layers + layer, vector(Bank.X, layer), vector(Bank.D, layer)
        own = {"index": APART, "cond": IF_DUE}
        coef = forward_scale(fast)
        read = [Step(StepVerb.MAC, array=fast, a=x, dst=d, func=LINEAR << 3, coef=coef, **own)]
        if buffered:
            read = [
                Step(StepVerb.MAC, array=fast, a=x, **own),
                Step(StepVerb.SEND, array=fast, **own),
                Step(StepVerb.WAIT, array=layer, dst=d, **own),
            ]
        moved = [
            Step(StepVerb.LINE, array=fast, dst=x, **own),
            *read,
            Step(StepVerb.WRITE, array=layer, a=x, b=d, **own),
        ]
        steps += [
            Step(StepVerb.PULSE, array=fast, a=x, b=d, index=SLOT),
            *moved * columns[layer],
            Step(StepVerb.AGE, array=layer),
        ]
    return steps


def training(
    layers: int,
    activation: str,
    softmax: bool,
    batch: int = 1,
    ahead: bool = True,
    columns: Sequence[int] = (),
    buffered: bool = False,
) -> list[Step]:
    """Return the table that trains a net.

    Parameters
    ----------
    layers : int
        Arrays of the net, one for each layer.
    activation : str
        Of `ACTIVATIONS`.
    softmax : bool
        The loss is the cross-entropy, else the squared error.
    batch : int
        Examples of a mini-batch: trains of one alone are made while it goes backward.
    ahead : bool
        Then, the next example is taken while it updates: updates must be planned, so that their
        trains take one chunk.
    columns, buffered : sequence of int, bool
        As of `transfers`; none: weights have one array. With transfers nothing is planned, or taken
        ahead.
    """
    kind = ACTIVATIONS.index(activation)
    counted = _counted(layers, kind, activation, softmax)
    if columns:
        moves = transfers(columns, buffered)
        if batch > 1:
            return _batches([*counted, *_learning(layers, kind)], moves)
        return [*counted, *_learning(layers, kind), *moves, *_rest()]
    planned = _updates(layers, StepVerb.PLAN, StepVerb.PULSE)
    if batch > 1:
        return _batches([*counted, *_learning(layers, kind)], planned)
    learning, updates = _learning(layers, kind, plans=True), _updates(layers, StepVerb.PULSE)
    if not ahead:
        return [*counted, *learning, *updates, *_rest()]
    more = Step(StepVerb.TAKE, dst=vector(Bank.X, 0), index=SLOT, cond=1)
    loop = Step(StepVerb.LOOP, dst=1, cond=Until.TAKEN)
    return [*counted, *learning, more, *updates, loop, Step(StepVerb.END)]


def sensing(layers: int, activation: str, softmax: bool) -> list[Step]:
    """Return the table that takes one example forward and backward, as training does."""
    kind = ACTIVATIONS.index(activation)
    counted = _counted(layers, kind, activation, softmax)
    return [*counted, *_learning(layers, kind), Step(StepVerb.END)]


def hosted(layers: int, activation: str) -> list[Step]:
    """Return the table that trains a net whose loss is the host's: results go, errors come."""
    kind, last = ACTIVATIONS.index(activation), layers - 1
    asked = [
        Step(StepVerb.SEND, array=last),
        Step(StepVerb.WAIT, array=last, dst=vector(Bank.D, last), index=SLOT),
    ]
    updates = _updates(layers, StepVerb.PLAN, StepVerb.PULSE)
    return _batches([*_forward(layers, kind), *asked, *_learning(layers, kind)], updates)


def predicting(layers: int, activation: str) -> list[Step]:
    """Return the table that sends an example's results to the host."""
    kind = ACTIVATIONS.index(activation)
    last = Step(StepVerb.SEND, array=layers - 1)
    return [*_forward(layers, kind), last, Step(StepVerb.END)]


def testing(layers: int, activation: str) -> list[Step]:
    """Return the table that counts how many examples are classified right."""
    kind = ACTIVATIONS.index(activation)
    return [*_forward(layers, kind), Step(StepVerb.COUNT), *_rest()]

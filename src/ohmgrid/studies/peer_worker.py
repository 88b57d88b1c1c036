"""aihwkit in an interpreter of its own: trains on request, one line of JSON each way.

``PYTHON peer_worker.py FILE.npz`` needs torch and aihwkit only, nothing of ohmgrid: aihwkit wants
its own environment. The file holds ``pixels`` (float32), ``labels`` and ``job``, the JSON text of
``layers``, ``preset``, ``batch``, ``lr``, ``activation``, ``loss``, ``seed`` and ``test``, the
number of examples at the end of the arrays that are for tests. A request is a list of examples to
train on, in order, or ``"test"``, or a seed, which makes a new net; an answer holds ``seconds`` and
``cpu_seconds``, or ``accuracy``, or ``ready``.

``preset`` names a class of ``aihwkit.simulator.presets``; ``float`` is the same net in floating
point without any device.
"""

# pyright: reportMissingImports=false, reportAttributeAccessIssue=false
# (torch and aihwkit are where this file runs, not where ohmgrid is checked)

import json
import sys
import time
from itertools import pairwise

import numpy as np
import torch
from torch import nn


def build(layers, preset, activation, loss, lr):
    """Return model and optimiser of the net that ohmgrid trains: all biases lie in the array, a
    layer is one array whatever its size, and weights start uniform in ``+-1/sqrt(columns)``.
    """
    function = {"sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "relu": nn.ReLU}[activation]
    if loss == "cross-entropy":
        last = [nn.LogSoftmax(dim=1)]
    else:
        last = [] if activation == "relu" else [function()]
    if preset == "float":
        parts = [nn.Linear(*sizes) for sizes in pairwise(layers)]
        for part in parts:
            with torch.no_grad():
                for parameter in part.parameters():
                    parameter.copy_(_uniform(parameter.shape, part.in_features))
        model = nn.Sequential(*_with_functions(parts, function, last))
        return model, torch.optim.SGD(model.parameters(), lr=lr)
    from aihwkit.nn import AnalogLinear, AnalogSequential
    from aihwkit.optim import AnalogSGD
    from aihwkit.simulator import presets

    parts = []
    for inputs, outputs in pairwise(layers):
        config = getattr(presets, preset)()
        config.mapping.digital_bias = False
        # By default a layer of more than 512 lines is cut into several arrays.
        config.mapping.max_input_size = config.mapping.max_output_size = 0
        part = AnalogLinear(inputs, outputs, True, rpu_config=config)
        # Its layers hold back the error of an output beyond the converter's bound, also where bound
        # management has halved the inputs and nothing was clipped. Its tiles do not, nor do ours.
        for tile in part.analog_tiles():
            tile.handle_output_bound = False
        part.set_weights(_uniform((outputs, inputs), inputs), _uniform((outputs,), inputs))
        parts.append(part)
    model = AnalogSequential(*_with_functions(parts, function, last))
    optimiser = AnalogSGD(model.parameters(), lr=lr)
    optimiser.regroup_param_groups(model)
    return model, optimiser


def _uniform(shape, inputs):
    """Return initial weights of a layer with so many inputs and a bias."""
    return (2 * torch.rand(shape) - 1) / (inputs + 1) ** 0.5


def _with_functions(parts, function, last):
    """Return layers with an activation after each, ``last`` after the last one."""
    found = []
    for part in parts:
        found += [part, function()]
    return [*found[:-1], *last]


def half_square(outputs, labels):
    """Return half the squared error, the mean over a batch."""
    wanted = nn.functional.one_hot(labels, outputs.shape[1])
    return ((outputs - wanted) ** 2).sum(dim=1).mean() / 2


def main():
    """Serve requests until the input ends."""
    torch.set_num_threads(1)
    with np.load(sys.argv[1]) as file:
        job = json.loads(str(file["job"]))
        pixels = torch.from_numpy(file["pixels"])
        labels = torch.from_numpy(file["labels"])
    batch = job["batch"]
    loss_of = nn.NLLLoss() if job["loss"] == "cross-entropy" else half_square
    train = len(labels) - job["test"]

    def start(seed):
        torch.manual_seed(seed)
        return build(job["layers"], job["preset"], job["activation"], job["loss"], job["lr"])

    def learn(order):
        for first in range(0, len(order), batch):
            chosen = order[first : first + batch]
            optimiser.zero_grad()
            loss_of(model(pixels[chosen]), labels[chosen]).backward()
            optimiser.step()

    model, optimiser = start(job["seed"])
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        if request == "test":
            with torch.no_grad():
                guesses = model(pixels[train:]).argmax(1)
            answer = {"accuracy": float((guesses == labels[train:]).double().mean())}
        elif isinstance(request, int):
            model, optimiser = start(request)
            answer = {"ready": True}
        else:
            order = torch.tensor(request) % train
            wall, cpu = time.perf_counter(), time.process_time()
            learn(order)
            answer = {
                "seconds": time.perf_counter() - wall,
                "cpu_seconds": time.process_time() - cpu,
            }
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()

"""aihwkit in an interpreter of its own: trains on request, one line of JSON each way.

``PYTHON peer_worker.py FILE.npz`` needs torch and aihwkit only, nothing of ohmgrid: aihwkit wants
its own environment. The file holds ``pixels`` (float32), ``labels`` and ``job``, the JSON text of
``layers``, ``preset``, ``batch``, ``lr``, ``activation``, ``seed`` and ``test``, the number of
examples at the end of the arrays that are for tests. A request is a list of examples to train on,
in order, or ``"test"``; an answer holds ``seconds`` and ``cpu_seconds``, or ``accuracy``.

``preset`` names a class of ``aihwkit.simulator.presets``; ``float`` is the same net in floating
point without any device.
"""

# pyright: reportMissingImports=false
# (torch and aihwkit are where this file runs, not where ohmgrid is checked)

import json
import sys
import time
from itertools import pairwise

import numpy as np
import torch
from torch import nn


def build(layers, preset, activation, lr):
    """Return model and optimiser; all biases lie in the array, as in ohmgrid."""
    function = {"sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "relu": nn.ReLU}[activation]
    if preset == "float":
        parts = [nn.Linear(*sizes) for sizes in pairwise(layers)]
        model = nn.Sequential(*_with_functions(parts, function))
        return model, torch.optim.SGD(model.parameters(), lr=lr)
    from aihwkit.nn import AnalogLinear, AnalogSequential
    from aihwkit.optim import AnalogSGD
    from aihwkit.simulator import presets

    parts = []
    for inputs, outputs in pairwise(layers):
        config = getattr(presets, preset)()
        config.mapping.digital_bias = False
        parts.append(AnalogLinear(inputs, outputs, True, rpu_config=config))
    model = AnalogSequential(*_with_functions(parts, function))
    optimiser = AnalogSGD(model.parameters(), lr=lr)
    optimiser.regroup_param_groups(model)
    return model, optimiser


def _with_functions(parts, function):
    """Return layers with an activation after each, log-softmax after the last."""
    found = []
    for part in parts:
        found += [part, function()]
    found[-1] = nn.LogSoftmax(dim=1)
    return found


def main():
    """Serve requests until the input ends."""
    torch.set_num_threads(1)
    with np.load(sys.argv[1]) as file:
        job = json.loads(str(file["job"]))
        pixels = torch.from_numpy(file["pixels"])
        labels = torch.from_numpy(file["labels"])
    torch.manual_seed(job["seed"])
    model, optimiser = build(job["layers"], job["preset"], job["activation"], job["lr"])
    loss_of, batch = nn.NLLLoss(), job["batch"]
    train = len(labels) - job["test"]

    def learn(order):
        for first in range(0, len(order), batch):
            chosen = order[first : first + batch]
            optimiser.zero_grad()
            loss_of(model(pixels[chosen]), labels[chosen]).backward()
            optimiser.step()

    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        if request == "test":
            with torch.no_grad():
                guesses = model(pixels[train:]).argmax(1)
            answer = {"accuracy": float((guesses == labels[train:]).float().mean())}
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

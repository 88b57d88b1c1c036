"""A torch model on the arrays of one package: trains on request, one line of JSON each way.

``PYTHON torch_worker.py FILE.npz PACKAGE`` needs torch and the package, ``aihwkit`` or
``ohmgrid.torch``, and nothing else: the same code runs on both, but for the imports. The file holds
``pixels`` (float32, shape (examples, 784)), ``labels`` and ``job``, the JSON text of ``net``,
``batch``, ``lr``, ``seed`` and ``test``, the number of examples at the end that are for tests. A
request is a list of examples to train on, in order, or ``"test"``; an answer holds ``seconds`` and
``cpu_seconds``, or ``accuracy``, or ``ready``.
"""

# pyright: reportMissingImports=false, reportAttributeAccessIssue=false
# (torch and aihwkit are where this file runs, not where ohmgrid is checked)

import importlib
import json
import sys
import time
from itertools import pairwise

import numpy as np
import torch
from torch import nn

PLACES = {
    "aihwkit": ("aihwkit.nn", "aihwkit.optim", "aihwkit.simulator.configs"),
    "ohmgrid.torch": ("ohmgrid.torch",) * 3,
}
"""Where layers, optimiser and configurations are imported from."""


def fully_connected(layers, configs, seed):
    """Return 784-256-128-10 with sigmoids, devices of constant steps."""
    sizes, parts = (784, 256, 128, 10), []
    for inputs, outputs in pairwise(sizes):
        config = configs.SingleRPUConfig(device=configs.ConstantStepDevice())
        parts += [layers.AnalogLinear(inputs, outputs, True, rpu_config=config), nn.Sigmoid()]
    return layers.AnalogSequential(*parts[:-1], nn.LogSoftmax(dim=1), **seed)


def lenet(layers, configs, seed, config):
    """Return two convolutions and two linear layers with tanh, of one configuration."""
    return layers.AnalogSequential(
        layers.AnalogConv2d(1, 16, 5, rpu_config=config),
        nn.Tanh(),
        nn.MaxPool2d(kernel_size=2),
        layers.AnalogConv2d(16, 32, 5, rpu_config=config),
        nn.Tanh(),
        nn.MaxPool2d(kernel_size=2),
        nn.Tanh(),
        nn.Flatten(),
        layers.AnalogLinear(512, 128, rpu_config=config),
        nn.Tanh(),
        layers.AnalogLinear(128, 10, rpu_config=config),
        nn.LogSoftmax(dim=1),
        **seed,
    )


def build(job, package):
    """Return model and optimiser."""
    layers, optim, configs = map(importlib.import_module, PLACES[package])
    torch.manual_seed(job["seed"])
    # There nothing but the first weights can be seeded.
    seed = {"seed": job["seed"]} if package != "aihwkit" else {}
    if job["net"] == "fc":
        model = fully_connected(layers, configs, seed)
    elif job["net"] == "lenet-agad":
        device = configs.SoftBoundsReferenceDevice(dw_min=0.05)
        model = lenet(layers, configs, seed, configs.build_config("agad", device=device))
    else:
        config = configs.SingleRPUConfig(device=configs.ConstantStepDevice())
        model = lenet(layers, configs, seed, config)
    optimiser = optim.AnalogSGD(model.parameters(), lr=job["lr"])
    optimiser.regroup_param_groups(model)
    return model, optimiser


def answer(**values):
    """Write an answer."""
    print(json.dumps(values), flush=True)


def main():
    """Serve requests until there are no more."""
    torch.set_num_threads(1)
    arrays = np.load(sys.argv[1])
    job = json.loads(str(arrays["job"]))
    pixels, labels = torch.from_numpy(arrays["pixels"]), torch.from_numpy(arrays["labels"])
    if job["net"] != "fc":
        pixels = pixels.reshape(-1, 1, 28, 28)
    model, optimiser = build(job, sys.argv[2])
    loss_of, first_test = nn.NLLLoss(), len(labels) - job["test"]
    answer(ready=True)
    for line in sys.stdin:
        request = json.loads(line)
        if request == "test":
            right = 0
            with torch.no_grad():
                for first in range(first_test, len(labels), 100):
                    part = slice(first, min(first + 100, len(labels)))
                    right += int((model(pixels[part]).argmax(1) == labels[part]).sum())
            answer(accuracy=right / job["test"])
            continue
        order = torch.tensor(request)
        wall, cpu = time.perf_counter(), time.process_time()
        for chosen in order.split(job["batch"]):
            optimiser.zero_grad()
            loss = loss_of(model(pixels[chosen]), labels[chosen])
            loss.backward()
            optimiser.step()
            loss.item()
        answer(seconds=time.perf_counter() - wall, cpu_seconds=time.process_time() - cpu)


if __name__ == "__main__":
    main()

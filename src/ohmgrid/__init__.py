"""ohmgrid: the analog crossbar tile that trains in place, emulated in digital logic.

The rooms, the lowest floor first; each imports from floors below it alone:

================  ================================================================================
doors             what comes from outside is checked here, once: options, tables, arrays
storage           files whole or absent, the cache, what is published in it, hashes of sources
portable          exponential, logarithm, power: the same bits on every machine
periphery         converters and pulse trains at a tile's edge, as configured
devices           what stands at a crosspoint: classes of devices, their laws, pairs, presets
systems           networks with delay and single neurons, as configured
config            formats, build, layout: with device and periphery one frozen configuration
registers         every rounding of a real number, every width; the map of registers
counters          what a run counts beside its results
hidden            what a tile remembers beside the weights that passes see
tile, net, core   what every engine offers: an array, the net on it, the core that trains it
dynamics          what every engine offers of systems in continuous time
host              drives any gateware: values of registers, commands, answers
tools             tools and compilers from outside, for simulation, boards and studies
model             the golden model, integers in NumPy: it decides every bit
hdl               the gateware, Amaranth: each component equal to its twin in the model
gateware          nets on the gateware, wherever it runs; engine of a board behind its link
compiled          the golden model's bits at the speed of C
sim               the gateware simulated: engines `rtl` and `virtual`, CXXRTL, cocotb's simulators
engines           the engines by name
datasets          files with examples in the forms that people have
training          data, plan, settings, run, checkpoints, engines compared
measurements      from a file of measured pulses to a device
imports           devices and configurations of the reference simulator
weights           files of weights and conductances, into devices and out of runs
watch             a run that is watched: its feed, who finds it, the page that shows it
floats            arrays with floats on both sides: `ohmgrid.Tile`
torch             PyTorch's layers, optimiser and loss on arrays, for who installs it
sweeps            many runs of one file, shared by workers
studies           staircases of pulses, speeds side by side, cycles of gateware foretold
boards            boards as data, clock plans, synthesis, bitstreams, loading, results
plots             pictures, drawn without a display
commands          the verbs of the command line
================  ================================================================================

`model` and `hdl` have the same seven rooms: `base` (arithmetic, noise), `periphery` (converters,
trains, readout), `device` (one crosspoint), `array` (all of them), `core` (the order of work),
`dynamics` (continuous time), `link` (bytes of a host).
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Return `ohmgrid.floats.tile.Tile`, imported when it is asked for: rooms import this file."""
    if name == "Tile":
        return import_module("ohmgrid.floats.tile").Tile
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

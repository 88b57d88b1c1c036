"""ohmgrid: the analog crossbar tile that trains in place, emulated in digital logic.

The parts
---------
ohmgrid.config
    Number formats, tile and device configuration: shared by model and gateware.
ohmgrid.model
    The golden model: integers in NumPy. It decides every bit.
ohmgrid.hdl
    The gateware: Amaranth components, each equal to its twin in the model.
ohmgrid.sim
    Simulators, and the engine that runs the gateware as a shared library.
ohmgrid.boards
    FPGA boards, their tools and their links.
"""

__version__ = "0.1.0"

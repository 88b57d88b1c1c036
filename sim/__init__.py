"""Simulation: Verilog export, cocotb's simulators, and the gateware as a shared library."""

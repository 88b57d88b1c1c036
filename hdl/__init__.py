"""Gateware: one Amaranth component a file, equal bit for bit to its twin in `ohmgrid.model`.

Nothing here imports NumPy, cocotb or the boards.
"""

"""The golden model: what every engine must compute, in integers, written from the equations.

Nothing here imports Amaranth or cocotb.
"""

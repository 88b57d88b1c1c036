"""The compiled engine: the golden model's bits at the speed of C (numba), cell visits included.

Each module is the twin of the module of the same name in `ohmgrid.model`, written as loops over its
laws. Threads may share one set of arrays: no kernel writes where another one works.
"""

"""Readers of data sets as people have them: one module for each kind of file (docs/files.md).

Each gives the arrays as they are in the file (`ohmgrid.datasets.raw.Raw`); what a net sees of
them, `ohmgrid.datasets.scaling` and the loader decide.
"""

"""Weights as files: into a net's devices, and out of a run (docs/files.md)."""

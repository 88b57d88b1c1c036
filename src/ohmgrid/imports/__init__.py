"""Devices and configurations of the reference simulator, aihwkit 1.2.0, as ours (docs/files.md).

What has a counterpart is taken, what has none is listed, and nothing is dropped in silence.
"""

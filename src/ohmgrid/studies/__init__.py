"""Experiments on devices and engines: staircases of pulses, speeds side by side."""

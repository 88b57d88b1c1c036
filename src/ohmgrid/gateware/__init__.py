"""Nets on the gateware, wherever it runs: simulated, or on a board behind its link."""

"""Tools from outside that simulation and boards share, and what they are given to read."""

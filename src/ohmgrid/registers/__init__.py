"""From a configuration to integers: every rounding of a real number, every width."""

"""All crosspoints of an array: where a cell lies, sums and pulses over lines."""

"""Around the array: converters, voltages, pulse trains, and the way of a sum to its code."""

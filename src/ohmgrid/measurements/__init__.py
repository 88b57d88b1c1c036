"""From a file of measured pulses to a device."""

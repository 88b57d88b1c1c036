"""One crosspoint: what pulses and time do to it, what a read sees of it."""

"""The doors: what comes from outside is checked here, once, and refused in one line."""

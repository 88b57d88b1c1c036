"""A run from its data to its checkpoints, and runs compared engine by engine."""

"""The order of work: a tile's verbs, what time does between them, the net around the tiles."""

"""Systems in continuous time: networks with delay, single neurons."""

"""Systems in continuous time: the dynamics unit, its programs, an exact crossbar."""

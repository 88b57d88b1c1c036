"""Many runs of one file: which they are, how workers share them, what comes of each."""

"""Golden twins of the link: a line's bits, frames, streams and records."""

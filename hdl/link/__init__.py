"""The link: bytes of a line, frames that none is lost of, and records of commands and words."""

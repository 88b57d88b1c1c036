"""The way between a host and a core: bytes on a line, and what is made of them."""

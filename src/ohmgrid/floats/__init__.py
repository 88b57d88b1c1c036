"""Arrays with floats on both sides, for who has NumPy."""

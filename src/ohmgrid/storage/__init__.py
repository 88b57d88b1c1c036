"""What is kept on disk: files whole or absent, the cache and what is published in it."""

"""What everything else computes with: arithmetic, and noise by address."""

"""Learning which answers people prefer: losses, what they are computed from, and what is measured of it."""

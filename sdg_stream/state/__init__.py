"""The run directory: lock, journal, call cache, recovery."""

"""``make bench``: every benchmark, and one table of their results."""

"""What benchmarks/guards.py measures on: right translations, and the faults that it plants in them."""

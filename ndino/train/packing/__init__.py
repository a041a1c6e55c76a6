"""Packing: the samples of a micro-batch as one row without padding, each seeing only itself."""

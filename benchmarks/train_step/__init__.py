"""Packed training against padded batches, the native engine without packing, and the upstream trainer."""

"""Prompts in, tokens out: shared prefixes, batches, greedy decoding."""

"""A trained model for vLLM: what a folder lacks for it, and a folder that lacks nothing."""

"""The kinds of backbones that the miniature can be built from; by default the paper's."""

BACKBONES = ("llama", "qwen3", "gemma3", "mistral")
TOWERS = ("clip", "siglip2")

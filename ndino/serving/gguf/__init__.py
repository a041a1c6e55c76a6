"""A LLaVA-NeXT as GGUF, the format of llama.cpp and Ollama: a language model and an ``mmproj``.

The names of tensors and fields are those that llama.cpp's loader reads (``src/llama-arch.cpp`` and
``tools/mtmd/clip-impl.h`` there). docs/serving.md says what its runtime does
differently from transformers.
"""

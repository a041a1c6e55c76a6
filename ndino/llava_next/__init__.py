"""The upstream engine: runs a recipe with the pinned, patched LLaVA-NeXT in its own environment.

``arguments`` turns a recipe into upstream's command line, ``start`` makes folders that upstream can read,
``stage`` runs one recipe from start to manifest. What runs inside upstream's process lies in overlay/llava.
``upstream_logits`` runs in that environment too, for the converter's check: this package imports nothing.
"""

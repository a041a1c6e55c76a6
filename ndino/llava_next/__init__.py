"""The upstream engine: trains a stage with the pinned, patched LLaVA-NeXT in its own environment.

``engine`` trains one stage from recipe to manifest, ``arguments`` turns a recipe into upstream's command
line, and ``start`` makes starting folders that upstream can read. Our code inside upstream's process is in
overlay/llava. ``upstream_logits`` runs in that environment too, for the converter's check: this package
imports nothing.
"""

"""The native engine: trains transformers' own LlavaNextForConditionalGeneration; nothing to convert.

``build`` makes the model, ``images`` and ``dataset`` make samples, ``batches`` collates them, ``loss``
scores them, ``trainer`` steps, ``stage`` runs one recipe from start to manifest.
"""

"""Training stages, and the native engine that trains transformers' own LlavaNextForConditionalGeneration.

``stage`` says what to train. ``engine`` trains it: ``build`` makes the model, ``dataset`` and ``images`` make
the samples, ``batches`` collates them, ``loss`` computes the loss, ``trainer`` sets up the optimiser,
``callbacks`` and ``checkpoints`` save, stop and resume, ``health`` watches for divergence, ``manifest``
records the run. Its models need no conversion.
"""

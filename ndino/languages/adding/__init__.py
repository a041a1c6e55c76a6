"""Adding a language: `ndino language new` writes its file, and `ndino language check` reads it."""

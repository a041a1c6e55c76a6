"""A world small enough for two CPU cores, and tiny models that go through the whole pipeline on it."""

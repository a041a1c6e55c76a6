"""Scores of how good a translation is, without a reference."""

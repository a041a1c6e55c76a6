"""Trained models for other programs: one package for each program's format."""

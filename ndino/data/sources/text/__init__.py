"""Instruction text without images: `layouts.py` reads a row, `command.py` the files."""

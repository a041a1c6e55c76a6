"""Commands on finished data folders: mix, check, pack, tables."""

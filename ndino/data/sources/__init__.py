"""One module per published source: how to read its files and turn them into rows."""

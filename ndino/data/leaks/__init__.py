"""Which rows of training data show images of a benchmark, or ask its questions."""

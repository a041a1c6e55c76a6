"""The miniature: tiny models and a small world, to run the whole pipeline on two CPU cores."""

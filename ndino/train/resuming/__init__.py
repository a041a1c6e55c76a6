"""Who can resume which checkpoint: how ranks share a model, and the conversion for another number of them."""

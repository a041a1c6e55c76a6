"""A run's folder and whose it is; which ranks can resume a checkpoint, and conversion for other ranks."""

"""What is seen of a run while it trains: speed and memory (``throughput``)."""

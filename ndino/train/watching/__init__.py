"""What is seen of a run while it trains: speed and memory (``throughput``), held-out loss and captions
(``held_out``), and the services that draw curves (``services``); messages that are not shown (``noise``).
"""

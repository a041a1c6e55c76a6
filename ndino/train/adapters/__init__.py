"""Training with less memory: low-rank adapters (``lora``), and weights and optimiser states in few bits
(``few_bits``).
"""

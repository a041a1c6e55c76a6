"""The worlds that the miniature trains on: drawn scenes and real stamps, with their questions and benchmarks."""

"""The miniature's two worlds, drawn scenes and real stamps, with their questions and benchmarks."""

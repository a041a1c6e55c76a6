"""The miniature's two worlds, generated scenes and real stamps: their images, questions and benchmarks."""

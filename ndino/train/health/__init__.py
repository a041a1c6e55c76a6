"""Whether a run is well: finite weights, losses that do not diverge, ranks that end together."""

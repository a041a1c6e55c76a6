"""Starting several ranks of a stage on this machine (``ranks``)."""

"""Starting several ranks of a stage on this machine (``ranks``), and why they ended (``last_words``)."""

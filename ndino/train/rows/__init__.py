"""The rows that a stage trains on: encoded once, kept on disk, shared by ranks, restarts and engines.

``encoding`` a row to ids, labels and counts · ``building`` the files that hold them · ``index`` reads these ·
``run_index`` which of them a run uses · ``steps`` that the rows make · ``order`` of the rows in training ·
``workers`` that read images · ``damage`` images that turn out to be damaged while training.
"""

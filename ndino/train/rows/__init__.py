"""The rows that a stage trains on: encoded once, kept on disk, shared by ranks, restarts and engines.

``encoding`` a row to ids, labels and counts · ``index`` the files that hold them · ``damage`` images that
turn out to be damaged while training.
"""

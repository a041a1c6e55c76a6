"""A language model rates open answers against their right ones, after LAVE (arXiv 2310.02567): 0, 0.5 or 1.

It reads the question, the right answers and the answer, and never sees the image. Nothing else takes its
scores for those of a task: they stand beside them, with how often the judge agrees with labelled rows.

prompts
    What a judge is asked in each language.
ratings
    How its rating is read.
judges
    Models in a folder, from the hub, or behind a server.
verdicts
    The files of verdicts.
asking
    Asks for the verdicts that are missing; each is in its file as soon as it is given.
samples
    The open answers of a run, and the scores of their verdicts.
labelled, agreement, checking
    The labelled rows, and how far a judge agrees with them.
"""

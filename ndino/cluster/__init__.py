"""Support for the SLURM scripts in launch/: checks, records and plans.

``checks`` refuses a job before it is submitted and again before it trains. ``attempts`` records every start
of a run. ``launch`` starts the processes of a training job (`ndino.rank`). ``family`` plans all jobs of a
model family, ``preflight`` checks them together, ``status`` shows them, and ``staging`` downloads models
and data sets for nodes without a network. Nothing here calls SLURM: the scripts do, and pass on what it
printed.
"""

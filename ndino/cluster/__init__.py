"""Runs on a SLURM cluster: what the scripts of launch/ decide, check and put on record.

``checks`` refuses a job before it waits and before it trains, ``attempts`` records what each start of a run
was, ``launch`` and ``rank`` are the processes of a training job, ``family`` plans all jobs of a family,
``status`` shows them, ``staging`` fetches models and data sets for nodes that have no network. None of it
calls SLURM: the scripts do, and hand over what it printed.
"""

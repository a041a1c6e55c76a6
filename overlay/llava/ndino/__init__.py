"""Our additions to LLaVA-NeXT, called by the lines that our patches insert into it.

``prompts`` text to ids and labels · ``vocabulary`` ``<image>`` and pad token · ``reproducible`` seed, tower
precision, image_newline · ``images`` how they are opened · ``trainer`` checkpoints and resume · ``saving``
the stage's result · ``offline`` no hub at import · ``parent`` no orphaned trainers.

The files are in ``overlay/llava`` of LLaVA-NDiNO and linked into LLaVA-NeXT; they import its package
``ndino``.
"""

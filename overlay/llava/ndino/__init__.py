"""What the patches of LLaVA-NeXT switch on: one module a subject, each called by inserted lines upstream.

``prompts`` text to ids and labels · ``vocabulary`` ``<image>`` and pad token · ``reproducible`` seed, tower
precision, image_newline · ``lengths`` and ``sampler`` grouping by true length · ``trainer`` checkpoints and
resume · ``saving`` the stage's result · ``offline`` no hub at import · ``parent`` no orphans.

The modules lie here by way of ``overlay/llava`` of LLaVA-NDiNO and use its ``ndino`` package.
"""

"""Questions about images with their answers, read alike by every command from any layout of files.

layout
    Which files hold a split: the hub's layout, plain files, imagefolder, ``save_to_disk``.
rows
    The rows of one file, with their numbers; texts stay texts.
table
    `Questions`, the rows of a split with their images, and `read_questions`, which reads one.
images
    An image of a row: found, read, decoded; what is wrong with it.
faults
    Which texts can be asked and scored.
"""

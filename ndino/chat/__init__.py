"""The chat page: ask models about an image side by side, and see what they say of another one.

command
    ``ndino chat``.
server, page
    HTTP on this machine alone, and the page it serves.
session
    What the page asks for: models, images, answers, samples.
models, served
    A model that answers token by token: on this machine, behind a server.
images
    The images in memory, checked before they are decoded.
examples
    Images with questions, from the benchmarks.
turns
    One answer at a time.
messages
    What the page sends, checked.
"""

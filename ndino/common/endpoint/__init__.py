"""A model behind an OpenAI-compatible server (vLLM, llama.cpp, a cloud), asked many questions at a time.

address
    The address and the key, which no message shows.
background
    The event loop's thread.
client
    Connections, and whether one is dead or waits.
chat
    Asks, tries again, and says in one line what is wrong with a server.
pace
    How many requests are on their way, and when the server wants fewer.
replies
    What a server's answer holds.
thoughts
    What a model thinks before it answers; also of models that are on no server.
"""

from __future__ import annotations

from ndino.common.endpoint.chat import ChatEndpoint as ChatEndpoint
from ndino.common.endpoint.chat import Patience as Patience
from ndino.common.endpoint.chat import Wording as Wording
from ndino.common.endpoint.replies import Refused as Refused
from ndino.common.endpoint.replies import Reply as Reply

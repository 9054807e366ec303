"""The one internal form of training data: conversations."""

from typing import Literal

from typing_extensions import NotRequired, TypedDict  # Python 3.10 has no NotRequired


class Message(TypedDict):
    """One turn. `train` says whether its tokens carry loss; without it, what the assistant says does."""

    role: Literal["system", "user", "assistant"]
    content: str
    train: NotRequired[bool]


Conversation = list[Message]

"""The one internal form of training data: conversations."""

from typing import Literal

from typing_extensions import NotRequired, TypedDict  # Python 3.10 has no NotRequired

MOST_OPTIONS = 32  # of an answer; each is read once more for every example


class Message(TypedDict):
    """One turn. `train` says whether its tokens carry loss; without it, what the assistant says does. `options` of an answer are
    all that it was chosen from, itself among them.

    A conversation of one `text` is no conversation but a document: all of it is learned, without a chat template.
    """

    role: Literal["system", "user", "assistant", "text"]
    content: str
    train: NotRequired[bool]
    options: NotRequired[list[str]]


Conversation = list[Message]

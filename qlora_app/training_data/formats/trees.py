"""Trees of messages, as Open Assistant collected them: of all answers to a message
the one people ranked best is followed.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

from ...messages import Message
from .chat_turns import chat_turn
from .row_view import Reading
from .turns import Columns

NOT_BEST = "another answer to the same message was ranked better"
NO_PARENT = "the message it answers is not in the file"
_IDS, _PARENTS = ("message_id", "user_message_id", "id"), ("parent_id", "parent_message_id")
_JUDGED = ("rank", "deleted")  # what decides which reply is followed
LINKED = (
    *_IDS,
    *_PARENTS,
    "role",
    "text",
    "content",
    "rank",
    "deleted",
)  # all that matters of a row that names its parent


def best_path(row: Reading) -> list[Message]:
    """A root and its nested `replies` -> the turns along the best of them."""
    node = row
    if isinstance(row.peek("prompt"), dict):
        node = row.inside(row["prompt"], "messages")
    turns = [_judged_turn(node)]
    best = _best(node.get("replies"))
    while best is not None:
        node = row.inside(best, "messages")
        turns.append(_judged_turn(node))
        best = _best(node.get("replies"))
    return turns


def _judged_turn(node: Reading) -> Message:
    node.taken.update(name for name in _JUDGED if isinstance(node.peek(name), int | float))
    return node_turn(node)


def node_turn(node: Reading) -> Message:
    """One message of a tree; its words are in `text` or `content`."""
    text_key = "text" if "text" in node else "content"
    return chat_turn({"role": node.get("role"), "content": node.get(text_key)}, node)


def paths(rows: Iterable[Columns]) -> Iterator[list[int]]:
    """Rows that name their parent -> for each root the positions of the rows along its best path."""
    ids: dict[Any, int] = {}
    replies: dict[Any, list[tuple[int, Columns]]] = defaultdict(list)
    for position, row in enumerate(rows):
        ids[message_id(row)] = position
        replies[parent_id(row)].append((position, row))
    for root, row in replies.pop(None, []):
        path, node = [root], row
        while below := replies.pop(message_id(node), []):
            node = _best([reply for _, reply in below])
            path.append(next(position for position, reply in below if reply is node))
        yield path


def message_id(row: Columns) -> Any:
    return next((str(row[name]) for name in _IDS if row.get(name) is not None), None)


def parent_id(row: Columns) -> Any:
    """None for the root of a tree."""
    return next((str(row[name]) for name in _PARENTS if row.get(name) not in (None, "")), None)


def _best(replies: Any) -> Any:
    """The reply of the lowest rank, the first one where nobody ranked; None without any."""
    if not isinstance(replies, list):
        return None
    there = [reply for reply in replies if isinstance(reply, dict) and not reply.get("deleted")]
    return min(there, key=_rank_of, default=None)


def _rank_of(reply: dict[str, Any]) -> float:
    rank = reply.get("rank")
    if isinstance(rank, (int, float)):
        return rank
    return float("inf")

"""A turn a row: rows that say which conversation they belong to, who speaks and what, gathered to one row each."""

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

from ..formats.people import is_message
from ..formats.turns import LABELS, ROLES
from .reading import Found
from .turn_order import in_order

_TALK = ("conversation", "conv", "dialogue", "dialog", "chat", "session", "thread", "ticket", "talk", "call")
_CONVERSATIONS = {name for talk in _TALK for name in (f"{talk}_id", f"{talk}id", f"{talk}_no", f"{talk}_number")}
_CONVERSATIONS |= {"dialogue", "dialog", "conversation", "conversation_hash", "dialogue_index", "dialog_index"}
_SPEAKERS = {"role", "speaker", "from", "sender", "author", "who", "participant", "speaker_role", "author_role"}
_SAYINGS = {"content", "text", "utterance", "message", "value", "msg", "body", "said", "transcript"}
_LINKS = {"parent_id", "parent_message_id", "reply_to", "message_tree_id"}  # a tree, whose rows are joined otherwise
_NO_TURNS = {*_LINKS, *LABELS}  # with these a row is something by itself
_MOST_TURNS = 10_000  # of one row; a longer conversation goes on in the next one
AGAIN = (
    "its conversation {id} was begun by earlier rows that other conversations follow: sort the rows by their "
    "conversation"
)


def gather(found: Iterable[Found]) -> Iterator[Found]:
    """Every row; those that are one turn of a conversation as one row each conversation, which has the line of its
    first turn. The turns keep their order, or are in that of their numbers or times.
    """
    waiting: list[dict[str, Any]] = []
    begun: set[str] = set()
    columns, id, first = ("", "", ""), "", None
    for line, value, problem in found:
        names = _names(value) if type(value) is dict and problem is None else None
        its_id = str(value[names[0]]) if names else ""
        goes_on = its_id == id and len(waiting) >= _MOST_TURNS
        if waiting and (not names or its_id != id or goes_on):
            yield first, _conversation(columns, waiting), None
            waiting = []
        if names is None:
            yield line, value, problem
        elif not waiting and its_id in begun and not goes_on:
            yield line, value, AGAIN.format(id=repr(its_id[:40]))
        else:
            if not waiting:
                columns, id, first = names, its_id, line
                begun.add(id)
            waiting.append(value)
    if waiting:
        yield first, _conversation(columns, waiting), None


def _names(row: dict[str, Any]) -> tuple[str, str, str] | None:
    """The columns of the conversation, of who speaks and of what is said; None for a row that is no single turn."""
    named = _by_keys(tuple(row))
    if named is None or not all([isinstance(row[name], str | int) for name in named]):
        return None
    return named if isinstance(row[named[2]], str) else None


@lru_cache(maxsize=1000)
def _by_keys(keys: tuple[str, ...]) -> tuple[str, str, str] | None:
    """As `_names`, as far as the names of the columns say it: rows of a file have few different ones."""
    columns = {str(name).strip().lower().replace(" ", "_").replace("-", "_"): name for name in keys}
    if not columns.keys().isdisjoint(_NO_TURNS) or is_message(dict(columns)):
        return None
    named = [_only(columns, wanted) for wanted in (_CONVERSATIONS, _SPEAKERS, _SAYINGS)]
    there = [name for name in named if name is not None]
    return (there[0], there[1], there[2]) if len(there) == len(named) else None


def _only(columns: dict[str, str], wanted: set[str]) -> str | None:
    """The one column of these names; None where there is none, or more than one."""
    there = [name for name in columns if name in wanted]
    return columns[there[0]] if len(there) == 1 else None


def _conversation(columns: tuple[str, str, str], rows: list[dict[str, Any]]) -> dict[str, Any]:
    talk, who, says = columns
    turns = [{name: value for name, value in row.items() if name != talk} for row in rows]
    turns = in_order(turns)
    same = {name: value for name, value in turns[0].items() if all([turn.get(name) == value for turn in turns])}
    about = {name: value for name, value in same.items() if len(turns) > 1 and name not in (who, says)}
    turns = [{name: value for name, value in turn.items() if name not in about} for turn in turns]
    if all([str(turn[who]).strip().lower() in ROLES for turn in turns]):
        names = {who: "role", says: "content"}
        turns = [{names.get(name, name): value for name, value in turn.items()} for turn in turns]
    return {talk: rows[0][talk], **about, "messages": turns}

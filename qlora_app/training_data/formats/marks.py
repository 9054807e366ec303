"""Columns that say of a row whether it is to be learned: marked as bad, or kept apart to measure with."""

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from .names import SURE, Role, role_of, words_of
from .row_view import Reading

# By the words of a name put together. A number may be the place of the right choice in `correct`, and is a flag only
# where the name asks for yes or no.
_GOOD = {"correct", "good", "valid", "passed", "pass", "success", "approved", "helpful", "usable", "keep", "useful"}
_BAD = {"bad", "wrong", "incorrect", "rejected", "deleted", "discarded", "excluded", "spam", "disliked", "thumbsdown"}
_BAD |= {"thumbdown", "discard", "exclude", "hallucinated", "hallucination"}
_OPINIONS = {"feedback", "userfeedback", "humanfeedback", "rating", "userrating", "thumb", "thumbs", "vote", "reaction"}
_OPINIONS |= {"verdict", "judgement", "judgment", "review", "reviewstatus", "status", "result", "evaluation", "grade"}
_SPLITS = {"split", "set", "fold", "subset", "partition", "datasplit", "datasetsplit", "splitname"}
# What may say how good an answer is, in a way that nobody can know: it is said that it is not read.
_SCORES = {"score", "scores", "rating", "ratings", "stars", "grade", "reward", "quality", "safe", "toxic", "toxicity"}
_SCORES |= {
    "verified",
    "accepted",
    "upvotes",
    "votes",
    "downvotes",
    "feedback",
    "thumb",
    "thumbs",
    "verdict",
    "flagged",
}
_SCORES |= {"responsesafe", "reviewed", "confidence", "flagged"}

_SURE_ANSWER = Role("answer", SURE)
_YES, _NO = {"true", "yes", "y", "1", "1.0"}, {"false", "no", "n", "0", "0.0"}
_DISLIKED = {"thumbsdown", "thumbdown", "dislike", "disliked", "bad", "wrong", "incorrect", "rejected", "reject"}
_DISLIKED |= {"discarded", "deleted", "unhelpful", "down", "failed", "fail"}
_LIKED = {"thumbsup", "thumbup", "like", "liked", "good", "correct", "up"}
_TRAIN = {"train", "training", "trn"}
_APART = {"test", "testing", "tst", "valid", "validation", "val", "dev", "development", "eval", "evaluation", "holdout"}
_THUMB_DOWN = "\U0001f44e"
_THUMB_UP = "\U0001f44d"
_QUESTIONS = ("is", "was")  # what a name of a flag may begin with


def bad_mark(row: Reading) -> str:
    """The column that marks the row as one not to learn; "" where there is none.

    What was read already is part of what is learned, and marks nothing; nor does a mark where another column is sure to
    answer and was not read: then it is of that one.
    """
    for name in _marks(tuple(row)):
        if name in row.taken:
            continue
        is_bad = _is_bad(name, row.peek(name))
        if is_bad:
            return "" if _has_other_answer(row) else name
        if is_bad is not None:
            row.taken.add(name)
    return ""


def kept_apart(row: Reading) -> tuple[str, bool | None]:
    """(the column that sorts rows into those to learn and those to measure with, is this one kept apart); "" and None
    where none does.
    """
    for name in _of_splits(tuple(row)):
        value = row.peek(name)
        if name in row.taken or not isinstance(value, str):
            continue
        word = _joined(value)
        if word in _TRAIN or word in _APART:
            return name, word in _APART
    return "", None


def scores_in(names: Iterable[str]) -> list[str]:
    """The columns among `names` that may say how good an answer is."""
    return [name for name in names if _bare(name) in _SCORES]


def _has_other_answer(row: Reading) -> bool:
    return any(role_of(name) == _SURE_ANSWER for name in row if name not in row.taken)


@lru_cache(maxsize=1000)
def _marks(names: tuple[str, ...]) -> tuple[str, ...]:
    known = _GOOD | _BAD | _OPINIONS
    return tuple(name for name in names if _bare(name) in known)


@lru_cache(maxsize=1000)
def _of_splits(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for name in names if _joined(name) in _SPLITS)


def _is_bad(name: str, value: Any) -> bool | None:
    """None where the value says nothing of it."""
    if isinstance(value, (dict, list)) or value is None:
        return None
    bare, said = _bare(name), str(value).strip().lower()
    if bare in _OPINIONS:
        return _is_disliked(said)
    is_flag = bare != _joined(name)  # is_correct
    if said[:1].isdecimal() and not is_flag:
        return None
    if said not in _YES | _NO:
        return None
    return (said in _NO) == (bare in _GOOD)


def _is_disliked(said: str) -> bool | None:
    if _THUMB_DOWN in said or _joined(said) in _DISLIKED:
        return True
    if _THUMB_UP in said or _joined(said) in _LIKED:
        return False
    return None


def _bare(name: str) -> str:
    """Its words without the `is` of a flag."""
    words = words_of(name)
    if len(words) > 1 and words[0] in _QUESTIONS:
        words = words[1:]
    return "".join(words)


def _joined(text: str) -> str:
    return "".join(words_of(text))

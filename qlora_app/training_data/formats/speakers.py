"""Conversations whose turns are written in other ways: with speakers by other keys or by their own names, one object
for question and answer, or bare texts that take turns.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

from ...messages import Message
from .chat_turns import turns_of
from .people import answers, clean_name
from .row_view import Reading
from .turns import (
    ANSWERS,
    QUESTIONS,
    ROLES,
    Columns,
    RowError,
    TwoColumnsFit,
    UnknownRole,
    UnknownSpeakers,
    first_turn,
    text_of,
    turn,
)

_SPEAKERS = (
    *("speaker", "role", "from", "sender", "author", "user", "username", "name", "from_user", "who", "speaker_id"),
    *("participant", "actor", "agent", "party", "character"),
)
_SAYINGS = (
    *("text", "content", "value", "utterance", "message", "msg", "body", "sentence", "transcript", "line", "parts"),
    *("speech", "said"),
)
# Columns of texts, or of questions with answers, that follow each other.
TALKS = (
    *("data", "dialog", "dialogue", "dialogs", "dialogues", "turns", "conversation", "conversations", "messages"),
    *("utterances", "chat", "chats", "history", "rounds", "exchanges", "thread", "talk"),
)
# (keys of what asks, keys of what answers) in an object that is both
_BOTH = (
    (("input", "output"), ("query", "response"), ("prompt", "response"), ("prompt", "completion"), ("q", "a")),
    (("question", "answer"), ("instruction", "output"), ("query", "answer"), ("question", "response")),
    (("instruction", "response"), ("prompt", "answer"), ("ask", "answer")),
)
_PAIRS = tuple(pair for line in _BOTH for pair in line)
_USERS = ("user", "human", "customer_text", "usr")
_ASSISTANTS = ("assistant", "bot", "gpt", "chatbot", "chatgpt", "ai", "moss", "model")
_ASKING = (*_USERS, *(asks for asks, _ in _PAIRS))
_OTHER_ROLES = {"usr": "user", "sys": "assistant", "robot": "assistant", "chatgpt": "assistant", "claude": "assistant"}
_PREFIX = re.compile(r"\s*([^\W\d_]{1,20})\s?:\s*(.+)", re.DOTALL)

Turns = list[Message]


def _first_key(keys: Any, names: tuple[str, ...]) -> str | None:
    return next((name for name in names if name in keys), None)


def _columns_with(row: Columns, fits: Callable[[Any], bool]) -> list[str]:
    return [name for name, value in row.items() if fits(value)]


# ---- speakers by other keys


def _has_speakers(value: Any) -> bool:
    keys = [key.lower() for key in first_turn(value) if isinstance(key, str)]
    if not first_turn(value).keys().isdisjoint(("role", "from")):
        return False  # these are read as everywhere else
    speaker = _first_key(keys, _SPEAKERS)
    return speaker is not None and _first_key(keys, tuple(key for key in _SAYINGS if key != speaker)) is not None


def has_speakers(row: Columns) -> bool:
    return bool(_columns_with(row, _has_speakers))


def spoken_columns(row: Columns) -> tuple[str | None, str | None]:
    name = next(iter(_columns_with(row, _has_speakers)), None)
    return name, name


def spoken(row: Reading) -> Turns:
    """Turns with a speaker and a text, whatever the two are called."""
    fits = _columns_with(row, _has_speakers)
    usual = [name for name in TALKS if name in fits] or fits
    if len(usual) > 1:
        raise TwoColumnsFit("conversation", [repr(column[:30]) for column in usual])
    return turns_of_people(row, usual[0], None)


def turns_of_people(row: Reading, column: str, problem: UnknownRole | None) -> Turns:
    """Turns of people with names of their own: what the one says who answers is learned.

    `problem` is said where the turns are otherwise usual. Raises UnknownSpeakers where nobody said who answers.
    """
    if problem and not all([isinstance(item, dict) and len(item) > 1 for item in _listed(row[column], column)]):
        raise problem
    said = [_said(row, item, number) for number, item in enumerate(_listed(row[column], column), start=1)]
    names = [who for who, _ in said]
    roles = _roles(names)
    if row.answers_by and any([answers(who, row.answers_by) for who in names]):
        return _with_answerer(said, row.answers_by)
    is_known = all([who in roles for who in names])
    if problem and (is_known or "assistant" in roles.values()):
        raise problem
    if not is_known:
        unknown = [who for who in names if roles.get(who) != "system"]
        listed = ", ".join(repr(name[:30]) for name in list(dict.fromkeys(unknown))[:5])
        raise UnknownSpeakers(str(problem or f"nobody knows who of {listed} answers"), unknown)
    return [turn(roles[who], text, "text") for who, text in said]


def _listed(value: Any, column: str) -> list[Any]:
    if not isinstance(value, list) or not value:
        raise RowError(f"`{column[:30]}` is no list of turns")
    return value


def _said(row: Reading, item: Any, number: int) -> tuple[str, str]:
    if type(item) is not dict:
        raise RowError(f"turn {number} is not an object")
    given = row.inside(item, "turns")
    lowered = {key.lower(): key for key in given}
    speaker = _first_key(lowered, _SPEAKERS)
    saying = _first_key(lowered, tuple(key for key in _SAYINGS if key != speaker))
    if speaker is None or saying is None:
        raise RowError(f"turn {number} does not say who speaks, or what")
    who = given[lowered[speaker]]
    if isinstance(who, dict):
        inner = given.inside(who, "speakers")
        key = _first_key(inner, ("role", "name", "username", "id"))
        who = inner[key] if key else ""
    text = given[lowered[saying]]
    if isinstance(text, list):
        text = turns_of([{"role": "user", "content": text}], column="content")[0]["content"]
    return clean_name(str(who)), text_of(text, saying)


def _roles(names: list[str]) -> dict[str, str]:
    """{name: role} of the names that are usual. In dialogues about a task the system answers the user."""
    lowered = {name: name.strip().lower() for name in names}
    roles = {name: _OTHER_ROLES.get(low) or ROLES.get(low) for name, low in lowered.items()}
    if "assistant" not in roles.values() and "user" in roles.values():
        system_speaks = [name for name in names[1:] if roles[name] == "system"]
        roles |= dict.fromkeys(system_speaks, "assistant")
    return {name: role for name, role in roles.items() if role}


def _with_answerer(said: list[tuple[str, str]], answers_by: str) -> Turns:
    others = {who for who, _ in said if not answers(who, answers_by) and who.lower() != "system"}
    turns: Turns = []
    for who, text in said:
        if answers(who, answers_by):
            turns.append(turn("assistant", text, "text"))
        elif who.lower() == "system" and not turns:
            turns.append(turn("system", text, "text"))
        else:
            words = f"{who}: {text}" if len(others) > 1 else text
            turns.append(turn("user", words, "text"))
    return turns


# ---- question and answer in one object


def _pair_of(keys: Any) -> tuple[str, str] | None:
    lowered = {str(key).lower() for key in keys}
    user, assistant = _first_key(lowered, _USERS), _first_key(lowered, _ASSISTANTS)
    if user and assistant:
        return user, assistant
    return next((pair for pair in _PAIRS if lowered.issuperset(pair)), None)


def _holds_exchanges(value: Any) -> bool:
    first = first_turn(value)
    is_one_role = len(first) == 1 and str(next(iter(first))).lower() in ROLES
    return is_one_role or _pair_of(first) is not None


def has_exchanges(row: Columns) -> bool:
    """Is there a list of objects each of which asks and answers, or has its role as its key?"""
    return exchange_columns(row)[0] is not None


def exchange_columns(row: Columns) -> tuple[str | None, str | None]:
    fits = _columns_with(row, _holds_exchanges)
    name = next((name for name in TALKS if name in fits), None)
    return name, name


def exchanges(row: Reading) -> Turns:
    """xtuner's {system, input, output}, {"human": ..., "assistant": ...} and [{"user": ...}, {"assistant": ...}]."""
    column, _ = exchange_columns(row)
    turns: Turns = []
    items = _listed(row[column or ""], column or "")
    for number, item in enumerate(items, start=1):
        if type(item) is not dict:
            raise RowError(f"turn {number} is not an object")
        turns += _exchange(row.inside(item, "turns"), number, number == len(items))
    return turns


def _exchange(given: Reading, number: int, is_last: bool) -> Iterator[Message]:
    """The turns of one object; the last one may ask only."""
    keys = {key.lower(): key for key in given}
    if len(keys) == 1 and next(iter(keys)) in ROLES:
        role, key = next(iter(keys.items()))
        yield turn(ROLES[role], given[key], key)
        return
    pair = _pair_of(keys)
    if pair is None and is_last and (asks := _first_key(keys, _ASKING)):
        yield turn("user", given[keys[asks]], asks)
        return
    if pair is None:
        raise RowError(f"turn {number} does not ask and answer")
    if "system" in keys and str(given.peek(keys["system"]) or "").strip():
        yield turn("system", given[keys["system"]], "system")
    asks, says = (keys[name] for name in pair)
    question = given[asks]
    more = given.peek("input") if asks == "instruction" else None
    if more:
        question = f"{text_of(question, asks)}\n\n{text_of(given['input'], 'input')}"
    yield turn("user", question, asks)
    yield turn("assistant", given[says], says)


def is_exchange(row: Columns) -> bool:
    """Is a row itself `user` and `assistant`?"""
    asks, says = exchange_names(row)
    return bool(asks and says) and isinstance(row[str(asks)], str) and isinstance(row[str(says)], str)


def exchange_names(row: Columns) -> tuple[str | None, str | None]:
    return _first_key(row, _USERS), _first_key(row, _ASSISTANTS)


def one_exchange(row: Reading) -> Turns:
    asks, says = exchange_names(row)
    return [turn("user", row[asks or ""], asks or ""), turn("assistant", row[says or ""], says or "")]


# ---- bare texts


def _takes_turns(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], (str, list))


def takes_turns(row: Columns) -> bool:
    """Is there a list of texts that take turns? Questions of a benchmark, which have ids, are all asked."""
    if not row.keys().isdisjoint((*ANSWERS, *QUESTIONS, "question_id", "reference", "choices", "options")):
        return False
    return bool(_turn_columns(row))


def _turn_columns(row: Columns) -> list[str]:
    fits = _columns_with(row, _takes_turns)
    return [name for name in TALKS if name in fits]


def turn_columns(row: Columns) -> tuple[str | None, str | None]:
    name = next(iter(_turn_columns(row)), None)
    return name, name


def in_turns(row: Reading) -> Turns:
    """Texts in turn, or [question, answer] pairs: who begins is the user, unless the texts begin with who speaks."""
    names = _turn_columns(row)
    if len(names) > 1:
        raise TwoColumnsFit("conversation", [repr(column[:30]) for column in names])
    texts: list[Any] = []
    for item in row[names[0]]:
        if isinstance(item, list):
            if len(item) != 2:
                raise RowError(f"`{names[0]}` is no list of texts or of [question, answer] pairs")
            texts += item
        else:
            texts.append(item)
    whole = [text_of(text, names[0]) for text in texts]
    marked = [_PREFIX.fullmatch(text) for text in whole]
    roles = [ROLES.get(one[1].lower()) if one else None for one in marked]
    if all(roles) and "assistant" in roles:
        return [turn(role, one[2], names[0]) for role, one in zip(roles, marked, strict=True) if one]
    row.notes.add(f"the texts of `{names[0]}` are taken in turn: who begins asks, who replies is learned")
    sides = ("user", "assistant")
    return [turn(sides[place % 2], text, names[0]) for place, text in enumerate(whole)]


# ---- texts that take turns, and the reply to them beside

_BEFORE = (*TALKS, "context", "contexts", "dialog_history", "dialogue_history", "previous", "history_texts")
_REPLIES = ("response", "reply", "answer", "output", "target", "completion", "next_utterance")


def reply_columns(row: Columns) -> tuple[str | None, str | None]:
    fits = _columns_with(row, lambda value: isinstance(value, list) and bool(value) and isinstance(value[0], str))
    before = next((name for name in _BEFORE if name in fits), None)
    return before, next((name for name in _REPLIES if name in row), None)


def has_reply(row: Columns) -> bool:
    """Is there a list of texts, and a reply to the last of them?"""
    before, reply = reply_columns(row)
    return bool(before and reply) and row.keys().isdisjoint(QUESTIONS)


def with_reply(row: Reading) -> Turns:
    """The reply is learned; the text before it asks, the one before that was said by whoever replies, and so on."""
    before, reply = reply_columns(row)
    if before is None or reply is None:
        raise RowError("it has no reply")
    texts = [text_of(text, before) for text in row[before]]
    row.notes.add(f"the texts of `{before}` are taken in turn: the last one asks")
    sides = ("user", "assistant")
    turns = [turn(sides[(len(texts) - 1 - place) % 2], text, before) for place, text in enumerate(texts)]
    return [*turns, turn("assistant", row[reply], reply)]

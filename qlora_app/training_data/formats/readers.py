"""Every format: the columns of one row -> its turns. `tidy` makes a conversation of them."""

from collections.abc import Callable, Iterator
from typing import Any

from ...messages import Message
from .chat_turns import chat_column, chat_turn, turns_of
from .marked_text import split_marked
from .row_view import Reading
from .speakers import turns_of_people
from .stand_ins import is_lost
from .turns import (
    ANSWERS,
    CHATS,
    CONTEXTS,
    LABELS,
    QUESTIONS,
    TEXTS,
    Columns,
    RowError,
    UnknownRole,
    first_turn,
    is_blank,
    only,
    optional,
    text_of,
    turn,
)

DOCUMENTS = ("text", "content", "raw_content")
_REPLIES = ("response", "answer", "completion", "output", "reply", "ideal", "expected", "expected_output", "target")
_NEXT = ("question", "query", "message", "prompt", "input", "user_input", "user_message", "current_question")
_BEFORE = ("history", "chat_history", "conversation_history", "dialog_history", "dialogue_history", "message_history")
PIECE = 4000  # characters of a long document that are learned from as one example, about 1,000 tokens
_ALPACA = {"instruction", "input", "output"}


def alpaca(row: Reading) -> list[Message]:
    """instruction and input (one may be empty) -> output (or response), with optional context and history."""
    plain = row.keys() <= _ALPACA  # nearly always; then there is nothing to look for, and Start is quick
    answer = "output" if plain and "output" in row else only(row, ANSWERS, "answer")
    question, more = optional(row, "instruction"), optional(row, "input")
    if more and more != "<noinput>" and not is_blank(more) and not is_lost(more):
        if is_blank(question):
            question = more
        else:
            question = f"{question}\n\n{more}"
    if not plain:
        only({name: 0 for name in row if name not in ("input", "text")}, QUESTIONS, "question")
        question = _with_context(row, question)
    turns = [] if plain else _history(row)
    turns += {"role": "user", "content": question}, {"role": "assistant", "content": text_of(row[answer], answer)}
    return turns


def _with_context(row: Columns, question: str) -> str:
    """What a question is about stands before it."""
    for name in CONTEXTS:
        context = optional(row, name)
        if context:
            if is_blank(context):
                return question
            return f"{context}\n\n{question}"
    return question


def _history(row: Columns) -> list[Message]:
    """Earlier [question, answer] pairs of an Alpaca row."""
    turns: list[Message] = []
    history = row.get("history") or []
    if not isinstance(history, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in history):
        raise RowError("`history` is not a list of [question, answer] pairs")
    for pair in history:
        turns += turn("user", pair[0], "history"), turn("assistant", pair[1], "history")
    return turns


def pairs(row: Reading) -> list[Message]:
    """One column that asks, or a text that something is made of, and one that answers; both may be turns."""
    names = CONTEXTS if row.keys().isdisjoint(QUESTIONS) else QUESTIONS
    asks = only(row, names, "question")
    answer = only(row, ANSWERS, "answer")
    if isinstance(row[asks], list):
        return [*turns_of(row[asks], asks, row), *_answer_turns(row[answer], answer, row)]
    question = row[asks]
    if asks not in CONTEXTS:
        question = _with_context(row, text_of(question, asks))
    return [*_history(row), turn("user", question, asks), turn("assistant", row[answer], answer)]


def _answer_turns(value: Any, column: str, row: Reading) -> list[Message]:
    """An answer as text, as one turn, or as a list of turns."""
    if isinstance(value, dict):
        return [chat_turn(value, row)]
    if isinstance(value, list):
        return turns_of(value, column, row)
    return [turn("assistant", value, column)]


def chat(row: Reading) -> list[Message]:
    """A list of turns, whatever its column is called."""
    name = chat_column(row)
    try:
        turns = turns_of(row[name], name, row)
    except UnknownRole as error:
        row.forget_inner()
        return turns_of_people(row, name, error)
    first = next((one["content"] for one in turns if one["role"] == "user"), "")
    told = row.peek("instruction")
    if turns[-1]["role"] == "user":
        turns = [*turns, *_reply_beside(row)]
    else:
        turns = [*turns, *_exchange_beside(row, name, turns)]
    is_told = isinstance(told, str) and turns[0]["role"] != "system" and not is_blank(told) and told not in first
    if is_told and row.keys().isdisjoint(ANSWERS):
        row.notes.add("`instruction` beside a conversation is taken as its system text")
        return [turn("system", row["instruction"], "instruction"), *turns]
    return turns


def _exchange_beside(row: Reading, name: str, turns: list[Message]) -> list[Message]:
    """The question that follows a conversation and its answer, where columns beside it hold both. Raises RowError where
    the conversation is what was said before, and nothing answers.
    """
    if row.keys().isdisjoint(_NEXT):
        return []
    said = [turn["content"].strip() for turn in turns]
    asks, replies = [_new_texts(row, names, said) for names in (_NEXT, _REPLIES)]
    if len(asks) != 1:
        return []
    if not replies and name in _BEFORE:
        raise RowError(f"`{asks[0]}` has no answer")
    if len(replies) != 1:
        return []
    row.notes.add(f"`{name}` is what was said before: `{asks[0]}` asks, and `{replies[0]}` is learned")
    return [turn("user", row[asks[0]], asks[0]), turn("assistant", row[replies[0]], replies[0])]


def _new_texts(row: Reading, names: tuple[str, ...], said: list[str]) -> list[str]:
    """The columns of these names that hold a text nobody has said yet."""
    texts = {name: row.peek(name) for name in names}
    return [name for name, text in texts.items() if isinstance(text, str) and text.strip() not in (*said, "")]


def _reply_beside(row: Reading) -> list[Message]:
    """The answer to a conversation that ends with a question, where one column beside it holds one."""
    there = [name for name in _REPLIES if isinstance(row.peek(name), str) and not is_blank(str(row.peek(name)))]
    if len(there) != 1:
        return []
    row.notes.add(f"`{there[0]}` is learned as the answer to the conversation")
    return [turn("assistant", row[there[0]], there[0])]


def marked_text(row: Reading) -> list[Message]:
    """One text in which marks say who speaks."""
    return split_marked(text_of(row["text"], "text"))


def hh_rlhf(row: Reading) -> list[Message]:
    """The dialogue people preferred, with the last answer of the other one beside its own."""
    turns = split_marked(text_of(row["chosen"], "chosen"))
    if not isinstance(row.get("rejected"), str):
        return turns
    return with_rejected(row, turns, _read_leniently(lambda: split_marked(row["rejected"])))


def preference(row: Reading) -> list[Message]:
    """The preferred answer, alone or as a whole conversation, after whatever was asked, and the rejected one beside
    it.
    """
    row.taken.update(name for name in row if name.startswith("rejected") or name == "source")  # which teaches nothing
    name = chosen_column(row)
    answer_turns = _answer_turns(row[name], name, row)
    rejected = rejected_column(row)
    if rejected:
        other = Reading({rejected: row.peek(rejected)})
        rejected_turns = _read_leniently(lambda: _answer_turns(other[rejected], rejected, other))
        answer_turns = with_rejected(row, answer_turns, rejected_turns)
    if answer_turns[0]["role"] != "assistant":
        return answer_turns
    for column in (*CHATS, "prompt"):
        if not first_turn(row.peek(column)).keys().isdisjoint(("role", "from")):
            return turns_of(row[column], column, row) + answer_turns
    asks = only(row, QUESTIONS, "question")
    return [*_history(row), turn("user", _with_context(row, text_of(row[asks], asks)), asks), *answer_turns]


def with_rejected(row: Reading, chosen: list[Message], rejected: list[Message]) -> list[Message]:
    """The chosen turns, the last of which names the rejected answer.

    Both must be the same up to their last turn, an answer in words; where they are not, the chosen ones alone are kept,
    and that is said.
    """
    why = _no_pair(chosen, rejected)
    if why:
        row.notes.add(f"the two answers are no pair, because {why}: the chosen one alone is kept")
        return chosen
    last: Message = {**chosen[-1], "rejected": rejected[-1]["content"]}
    return [*chosen[:-1], last]


def _no_pair(chosen: list[Message], rejected: list[Message]) -> str:
    if not chosen or not rejected or chosen[-1]["role"] != "assistant" or rejected[-1]["role"] != "assistant":
        return "one of them does not end with the assistant"
    if chosen[:-1] != rejected[:-1]:
        return "they follow different prompts"
    if rejected[-1].keys() - {"role", "content", "train"} or is_blank(rejected[-1]["content"]):
        return "the rejected one is not an answer in words alone"
    if chosen[-1]["content"].strip() == rejected[-1]["content"].strip():
        return "they are the same"
    return ""


def _read_leniently(read: Callable[[], list[Message]]) -> list[Message]:
    """The rejected turns; none where they cannot be read: the row has a chosen answer all the same."""
    try:
        return read()
    except RowError:
        return []


def instances(row: Reading) -> Iterator[list[Message]]:
    """One conversation for each instance of a Self-Instruct or Unnatural Instructions task."""
    task = text_of(row["instruction"], "instruction")
    for one in row["instances"]:
        if not isinstance(one, dict):
            raise RowError("an instance is not an object")
        one = row.inside(one, "instances")
        question = optional(one, "instruction_with_input")
        if question and str(one.peek("input") or "") in question:
            one.taken.add("input")
        more = "" if question else optional(one, "input")
        yield alpaca(Reading({"instruction": question or task, "input": more, "output": one.get("output")}))


def translation(row: Reading) -> list[Message]:
    """From the first language to the second, as they stand in the row."""
    both = row["translation"]
    languages = list(both)
    if len(languages) != 2:
        raise RowError(f"`translation` holds {len(languages)} languages instead of two")
    asks, answers = languages
    return [turn("user", both[asks], asks), turn("assistant", both[answers], answers)]


def labelled(row: Reading, label: str = "") -> list[Message]:
    """Text, or several texts with their names, -> its label as text.

    `label`: its column, where that has no usual name.
    """
    if label:
        texts = [name for name in TEXTS if name in row] or [text_column(row)]
    else:
        texts, label = label_columns(row)
    if label not in row:
        raise RowError(f"it has nothing in its column {label!r}, which is the label")
    parts = {name: text_of(row[name], name) for name in texts}
    if len(texts) == 1:
        question = parts[texts[0]]
    else:
        question = "\n".join(f"{name}: {part}" for name, part in parts.items())
    return [turn("user", question, "text"), turn("assistant", as_text(row[label], label), label)]


def as_text(value: Any, column: str) -> str:
    """A label, or an answer a person chose by its column: a number is written out."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return str(value)
    return text_of(value, column)


def document(row: Reading) -> Iterator[list[Message]]:
    """A text without question and answer: all of it is learned, long ones in several
    pieces that end with a line or a word.
    """
    name = text_column(row)
    text = text_of(row[name], name).strip()
    while len(text) > PIECE:
        places = (text.rfind(mark, PIECE // 2, PIECE) for mark in ("\n\n", "\n", " "))
        end = next((place for place in places if place > 0), PIECE)
        yield [{"role": "text", "content": text[:end]}]
        text = text[end:].lstrip()
    yield [{"role": "text", "content": text}]


def text_column(row: Columns) -> str:
    """The column of a document."""
    return next((name for name in DOCUMENTS if name in row), DOCUMENTS[0])


def chosen_column(row: Columns) -> str:
    """The column of the preferred answer; others that begin so hold scores."""
    names = ("chosen", *[name for name in row if name.startswith("chosen")])
    return next((name for name in names if isinstance(row.get(name), (str, dict, list))), "chosen")


def rejected_column(row: Columns) -> str:
    """The column of the answer that was liked less; empty where there is none to be read."""
    names = ("rejected", *[name for name in row if name.startswith("rejected")])
    return next((name for name in names if isinstance(row.get(name), (str, dict, list))), "")


def label_columns(row: Columns) -> tuple[list[str], str]:
    """(columns of the text, column of its label)"""
    label = next(name for name in LABELS if name in row)
    texts = [name for name in TEXTS if name in row]
    return texts or [next(name for name in row if name != label)], label

"""Questions about a text, as SQuAD and others write them: the answers are lists, and some questions have none."""

from typing import Any

from ...messages import Message
from .choices import has_choice_list
from .row_view import Reading
from .turns import CONTEXTS, Columns, RowError, is_blank, text_of, turn

_ABOUT = (*(name for name in CONTEXTS if name not in ("dialogue", "content")), "story", "paragraph", "text")
_ASKS = ("question", "query", "questions")
_SAYS = ("answers", "answer", "answers_spans", "gold_answers", "answer_text", "short_answers", "detected_answers")
_TEXTS = ("text", "spans", "value", "input_text", "answer", "normalized_value", "span_text")
_PLACES = ("answer_start", "answer_end", "turn_id", "span_start", "span_end")  # where in the text an answer stands
_IMPOSSIBLE = ("is_impossible", "is_unanswerable", "unanswerable", "impossible")


def is_comprehension(row: Columns) -> bool:
    """A question, and answers in a list or an object; or a text with a list of questions and one of answers."""
    asks = next((name for name in _ASKS if name in row), None)
    if asks is None or "choices" in row or "options" in row or has_choice_list(row):
        return False
    if isinstance(row[asks], list):
        return "answers" in row and not row.keys().isdisjoint(_ABOUT)
    says = next((name for name in _SAYS if name in row), None)
    if says is None:
        return not row.keys().isdisjoint(_IMPOSSIBLE)
    holds_more = isinstance(row[says], (list, dict))
    return holds_more or (isinstance(row[says], bool) and not row.keys().isdisjoint(_ABOUT))


def comprehension_columns(row: Columns) -> tuple[str | None, str | None]:
    asks = next((name for name in _ASKS if name in row), "question")
    about = next((name for name in _ABOUT if name in row), None)
    return "+".join([*([about] if about else []), asks]), next((name for name in _SAYS if name in row), "answers")


def comprehension(row: Reading) -> list[Message]:
    """Text and question -> the first of the answers."""
    asks = next(name for name in _ASKS if name in row)
    if isinstance(row[asks], list):
        return _in_a_row(row, asks)
    for name in _IMPOSSIBLE:
        if str(row.get(name)).lower() in ("true", "1"):
            raise RowError("it is marked as a question that its text does not answer")
    says = next((name for name in _SAYS if name in row), None)
    if says is None:
        raise RowError("its question has no answer")
    found = _texts(row[says], row)
    if not found:
        raise RowError("its question has no answer")
    if len(set(found)) > 1:
        row.notes.add(f"`{says}` holds several answers, of which the first is learned")
    question = _with_text(row, text_of(row[asks], asks))
    return [turn("user", question, asks), turn("assistant", found[0], says)]


def _with_text(row: Reading, question: str) -> str:
    about = next((name for name in _ABOUT if name in row), None)
    if about is None:
        return question
    value = row[about]
    if isinstance(value, list) and all([isinstance(one, str) for one in value]):
        value = "\n".join(value)
    text = text_of(value, about)
    return question if is_blank(text) else f"{text}\n\n{question}"


def _texts(value: Any, row: Reading) -> list[str]:
    """Every answer that is a text, in their order, wherever in lists and objects it stands."""
    if isinstance(value, bool):
        return ["yes" if value else "no"]
    if isinstance(value, (int, float)):
        return [str(value)]
    if isinstance(value, str):
        return [] if is_blank(value) else [text_of(value, "answers")]
    if isinstance(value, list):
        return [text for one in value for text in _texts(one, row)]
    if isinstance(value, dict):
        inner = row.inside(value, "answers")
        inner.taken.update(_PLACES)
        key = next((name for name in _TEXTS if inner.peek(name) not in (None, [], "")), None)
        return _texts(inner[key], row) if key else []
    return []


def _in_a_row(row: Reading, asks: str) -> list[Message]:
    """Questions about one text that follow each other (CoQA): a conversation."""
    questions = [next(iter(_texts(one, row)), "") for one in row[asks]]
    given = row["answers"]
    if isinstance(given, dict):
        inner = row.inside(given, "answers")
        inner.taken.update(_PLACES)
        key = next((name for name in _TEXTS if isinstance(inner.peek(name), list)), None)
        given = inner[key] if key else []
    listed = given if isinstance(given, list) else []
    said = [next(iter(_texts(one, row)), "") for one in listed]
    if len(questions) != len(said) or not questions:
        raise RowError(f"it has {len(questions)} questions and {len(said)} answers")
    turns = [turn("user", _with_text(row, questions[0]), asks), turn("assistant", said[0], "answers")]
    for question, answer in zip(questions[1:], said[1:], strict=True):
        turns += turn("user", question, asks), turn("assistant", answer, "answers")
    return turns

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
# What says of one of several answers that it is right, and what says how good it is.
_RIGHT = (
    *("selected", "is_correct", "iscorrect", "correct", "is_right", "right", "accepted", "is_accepted", "is_best"),
    *("best", "best_answer", "is_answer", "is_selected", "is_gold", "chosen", "is_true"),
)
_SCORES = ("pm_score", "score", "votes", "vote", "vote_count", "upvotes", "rating", "points", "likes", "ups")
_YES, _NO = ("true", "1", "yes"), ("false", "0", "no")
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
    value, is_marked = _marked(row[says], says, row)
    found = _texts(value, row)
    if not found:
        raise RowError("its question has no answer")
    if len(set(found)) > 1 and not is_marked:
        row.notes.add(f"`{says}` holds several answers, of which the first is learned")
    question = _with_text(row, text_of(row[asks], asks))
    return [turn("user", question, asks), turn("assistant", found[0], says)]


def _marked(value: Any, says: str, row: Reading) -> tuple[Any, bool]:
    """(the answer that is marked as right, or else the best ranked one; whether one is). Raises RowError where none of
    them is right.
    """
    answers = _one_by_one(value)
    for name in _RIGHT:
        marks = [str(one.get(name)).strip().lower() for one in answers]
        if marks and all([mark in (*_YES, *_NO) for mark in marks]):
            right = [one for one, mark in zip(answers, marks, strict=True) if mark in _YES]
            if not right:
                raise RowError(f"none of its `{says}` is marked as right by `{name}`")
            if len(answers) > 1:
                row.notes.add(f"`{says}` holds several answers, of which the one that is marked by `{name}` is learned")
            return _chosen(right[0], name, answers, row), True
    for name in _SCORES:
        if all([isinstance(one.get(name), int | float) for one in answers]) and len(answers) > 1:
            best = max(answers, key=lambda one: float(one[name]))
            row.notes.add(f"`{says}` holds several answers, of which the one with the highest `{name}` is learned")
            return _chosen(best, name, answers, row), True
    return value, False


def _chosen(answer: dict[str, Any], name: str, answers: list[dict[str, Any]], row: Reading) -> dict[str, Any]:
    """Without what it was chosen by; what stands beside it is named, in the others too."""
    for one in answers:
        if one is not answer:
            row.inside(one, "answers").taken.update((*_TEXTS, *_PLACES, name))
    return {key: value for key, value in answer.items() if key != name}


def _one_by_one(value: Any) -> list[dict[str, Any]]:
    """Every answer as an object; tables write them as one object of lists."""
    if isinstance(value, list):
        return value if all([isinstance(one, dict) for one in value]) else []
    if not isinstance(value, dict) or not value:
        return []
    columns = {name: listed for name, listed in value.items() if isinstance(listed, list)}
    sizes = {len(listed) for listed in columns.values()}
    if len(columns) < len(value) or len(sizes) != 1 or columns.keys().isdisjoint((*_RIGHT, *_SCORES)):
        return []
    return [dict(zip(columns, one, strict=True)) for one in zip(*columns.values(), strict=True)]


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

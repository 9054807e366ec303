"""Texts that people labelled: exports of Label Studio, doccano and Prodigy, and words with tags (CoNLL).

Labelled pieces of a text are learned as lines of a piece and its label.
"""

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from ...messages import Message
from .kind import Kind
from .row_view import Reading
from .turns import CONTEXTS, QUESTIONS, TEXTS, Columns, RowError, is_blank, text_of, turn

NONE = "none"  # the answer for a text in which nothing is labelled
_PIECES = f"labelled pieces of a text are learned as lines of `piece: label`, and a text without any as `{NONE}`"
_TAGS = "words with tags are learned as lines of `word: tag`"
_DISAGREE = "`annotations` holds different answers of several people, of which the first is learned"
_READ_FIRST = tuple(dict.fromkeys((*TEXTS, *CONTEXTS, *QUESTIONS)))
_BOOKKEEPING = (
    *("id", "annotator", "annotation_id", "created_at", "updated_at", "lead_time", "agreement", "annotators"),
    *("completed_by", "inner_id", "review", "comments", "sentiment_id"),
)
_OF_ANNOTATIONS = (
    *("id", "was_cancelled", "ground_truth", "created_at", "updated_at", "lead_time", "completed_by", "task"),
    *("project", "result_count", "unique_id", "last_action", "import_id", "draft_created_at", "created_username"),
)
_OF_RESULTS = ("id", "from_name", "to_name", "type", "origin", "value")
_SPANS = ("spans", "entities", "labels", "label")
_TAG_LISTS = ("ner_tags", "ner", "bio_tags", "tags", "labels", "pos_tags", "upos", "chunk_tags")
_TAG = re.compile(r"([BILUSEM])[-_](.+)")

Piece = tuple[int, str, str]  # where it starts, its text, its label


def _learned(question: str, answer: str) -> list[Message]:
    return [turn("user", question, "text"), turn("assistant", answer, "label")]


def _lines(pieces: Iterable[Piece], row: Reading, note: str = _PIECES) -> str:
    row.notes.add(note)
    return "\n".join([f"{text}: {label}" for _, text, label in sorted(pieces)]) or NONE


def _text_in(row: Columns, names: Iterable[str]) -> str:
    """The texts of the columns, each with its name where there are several."""
    there = [name for name in names if isinstance(row.get(name), str) and not is_blank(row[name])]
    if not there:
        raise RowError("it has no text (pictures, sound and pages cannot be read)")
    if len(there) == 1:
        return text_of(row[there[0]], there[0])
    return "\n".join([f"{name}: {text_of(row[name], name)}" for name in there])


def _texts_first(names: Iterable[str]) -> list[str]:
    listed = list(names)
    return [name for name in _READ_FIRST if name in listed] or listed


# ---- Label Studio


def is_label_studio(row: Columns) -> bool:
    has_data = isinstance(row.get("data"), dict)
    return has_data and (isinstance(row.get("annotations"), list) or isinstance(row.get("completions"), list))


def label_studio(row: Reading) -> list[Message]:
    """The texts of a task -> what the first person said of it who did not skip it."""
    listed = row["annotations" if "annotations" in row else "completions"]
    done = [row.inside(one, "annotations") for one in _not_cancelled(listed)]
    answers = [made for one in done if (made := _result(one, row))]
    if not answers:
        raise RowError("nobody has labelled it")
    if len(set(answers)) > 1:
        row.notes.add(_DISAGREE)
    data = row.child("data")
    texts = [name for name, value in data.items() if isinstance(value, str) and not _is_place(value)]
    return _learned(_text_in(data, _texts_first(texts)), answers[0])


def _is_place(value: str) -> bool:
    """The address of a picture or of sound."""
    return re.fullmatch(r"(https?:/|s3:/|gs:/|/data|file:/|data:image)/?\S+", value) is not None


def _not_cancelled(annotations: list[Any]) -> list[dict[str, Any]]:
    done = [one for one in annotations if isinstance(one, dict) and not one.get("was_cancelled")]
    return sorted(done, key=lambda one: not one.get("ground_truth"))


def _result(annotation: Reading, row: Reading) -> str:
    """What one person said, as text; empty where nothing was."""
    annotation.taken.update(_OF_ANNOTATIONS)
    said: dict[str, list[str]] = {}
    pieces: list[Piece] = []
    for item in annotation.get("result") or []:
        one = annotation.inside(item, "results") if isinstance(item, dict) else Reading({})
        one.taken.update(_OF_RESULTS)
        if type(one.peek("value")) is not dict:
            continue
        value = one.inside(one["value"], "results")
        kind, name = str(one.get("type")), str(one.get("from_name"))
        if "start" in value and "text" in value:
            value.taken.update(("start", "end", "text", "globaloffsets"))
            pieces += [(_start(value["start"]), str(value["text"]), label) for label in _labels(value)]
        elif kind in ("choices", "taxonomy", "textarea", "rating", "number", "pairwise", "datetime"):
            said.setdefault(name, []).extend(_values(value, kind))
        else:
            raise RowError(f"it is labelled with {kind[:30]!r}, which is no text")
    if pieces:
        said["labels"] = [_lines(pieces, row)]
    if len(said) == 1:
        return ", ".join(next(iter(said.values())))
    return "\n".join([f"{name}: {', '.join(values)}" for name, values in said.items()])


def _labels(value: dict[str, Any]) -> list[str]:
    keys = [key for key, one in value.items() if key.endswith("labels") and isinstance(one, list)]
    return [str(label) for key in keys for label in value[key]]


def _start(value: Any) -> int:
    return int(value) if str(value).isdecimal() else 0


def _values(value: Reading, kind: str) -> list[str]:
    if kind == "taxonomy":
        return [" > ".join(str(step) for step in path) for path in value.get("taxonomy", [])]
    key = {"choices": "choices", "textarea": "text", "pairwise": "selected"}.get(kind, kind)
    found = value.get(key)
    return [str(one) for one in (found if isinstance(found, list) else [found]) if one is not None]


def is_label_studio_min(row: Columns) -> bool:
    """Label Studio's JSON-MIN and CSV: a row a task and person."""
    return {"annotation_id", "lead_time"} <= row.keys()


def label_studio_min(row: Reading) -> list[Message]:
    """The texts of a task -> the columns of what was said of it."""
    row.taken.update(_BOOKKEEPING)
    names = [name for name in row if name not in _BOOKKEEPING]
    texts = [name for name in _READ_FIRST if isinstance(row.peek(name), str)] or names[:1]
    said = {name: _min_value(row.peek(name), row) for name in names if name not in texts}
    said = {name: value for name, value in said.items() if value}
    row.taken.update(said)
    if not said:
        raise RowError("nobody has labelled it")
    answer = "\n".join([f"{name}: {value}" for name, value in said.items()])
    if len(said) == 1:
        answer = next(iter(said.values()))
    return _learned(_text_in(row, texts), answer)


def _min_value(value: Any, row: Reading) -> str:
    """Something that was said, as text; in a table it is JSON."""
    if isinstance(value, str) and value[:1] in "[{":
        try:
            value = json.loads(value)
        except json.JSONDecodeError:
            return value
    if isinstance(value, dict):
        value = value.get("choices") or value.get("text") or value.get("taxonomy") or value.get("rating")
    if not isinstance(value, list):
        return "" if value is None else str(value)
    if value and isinstance(value[0], dict):
        there = [one for one in value if isinstance(one, dict) and "text" in one]
        pieces = [(_start(one.get("start")), str(one["text"]), label) for one in there for label in _labels(one)]
        return _lines(pieces, row) if pieces else ""
    return ", ".join([" > ".join(map(str, one)) if isinstance(one, list) else str(one) for one in value])


# ---- doccano and Prodigy


def is_labelled_text(row: Columns) -> bool:
    """A text with a list of labels or of labelled places, or with what an annotator of Prodigy answered."""
    if not isinstance(row.get("text"), str):
        return False
    if "answer" in row and not row.keys().isdisjoint(("_input_hash", "spans", "accept", "_task_hash")):
        return True
    if isinstance(row.get("cats"), dict):
        return True
    return any([isinstance(row.get(name), list) for name in _SPANS]) and "answer" not in row and "output" not in row


def labelled_text(row: Reading) -> list[Message]:
    """A text -> its labels, or lines of its labelled pieces. Raises RowError for what was rejected."""
    text = text_of(row["text"], "text")
    row.taken |= {"_input_hash", "_task_hash", "_session_id", "_view_id", "_annotator_id", "_timestamp", "tokens"}
    if "answer" in row and row["answer"] != "accept":
        raise RowError(f"it was answered with {str(row['answer'])[:20]!r}, not with 'accept'")
    if "accept" in row:
        return _learned(text, _accepted(row))
    if isinstance(row.peek("cats"), dict):
        cats = row["cats"]
        chosen = [str(name) for name, score in cats.items() if isinstance(score, (int, float)) and score >= 0.5]
        return _learned(text, ", ".join(chosen) or NONE)
    name = next((name for name in _SPANS if isinstance(row.peek(name), list)), None)
    if name is None:
        return _learned(text, text_of(row.get("label"), "label"))
    listed = row[name]
    if listed and all([isinstance(one, (str, int)) for one in listed]):
        return _learned(text, ", ".join([str(one) for one in listed]))
    if not listed and name in ("label", "labels"):
        raise RowError("nobody has labelled it")
    return _learned(text, _lines(_pieces(listed, text), row))


def _accepted(row: Reading) -> str:
    """The texts of the options that were chosen."""
    chosen = row["accept"] if isinstance(row["accept"], list) else [row["accept"]]
    options = [one for one in row.get("options") or [] if isinstance(one, dict)]
    texts = {str(one.get("id")): str(one.get("text", one.get("id"))) for one in options}
    return ", ".join([texts.get(str(one), str(one)) for one in chosen]) or NONE


def _pieces(listed: list[Any], text: str) -> Iterator[Piece]:
    for one in listed:
        if isinstance(one, dict):
            start, end = one.get("start", one.get("start_offset")), one.get("end", one.get("end_offset"))
            label = one.get("label")
        elif isinstance(one, list) and len(one) == 3:
            start, end, label = one
        else:
            raise RowError("a label is neither a name nor a place in the text")
        if not (isinstance(start, int) and isinstance(end, int) and 0 <= start < end <= len(text)):
            raise RowError(f"a label stands outside of the text ({start} to {end})")
        yield start, text[start:end], str(label)


# ---- words with tags


def is_tagged(row: Columns) -> bool:
    words = row.get("tokens")
    is_list = isinstance(words, list) and bool(words) and isinstance(words[0], str)
    return is_list and any([isinstance(row.get(name), list) for name in _TAG_LISTS])


def tagged_columns(row: Columns) -> tuple[str | None, str | None]:
    return "tokens", next((name for name in _TAG_LISTS if name in row), None)


def tagged(row: Reading) -> list[Message]:
    """Words with tags -> lines of the entities in them, or of each word with its tag."""
    _, name = tagged_columns(row)
    words, tags = row["tokens"], row[name or ""]
    if len(words) != len(tags):
        raise RowError(f"it has {len(words)} words and {len(tags)} tags")
    if any([isinstance(tag, (int, float)) for tag in tags]):
        raise RowError(f"`{name}` holds numbers, and their names are not in the file")
    texts = [text_of(word, "tokens") for word in words]
    whole = row["text"] if isinstance(row.peek("text"), str) else " ".join(texts)
    if all([tag in ("O", "_") or _TAG.fullmatch(str(tag)) for tag in tags]):
        return _learned(whole, _lines(_entities(texts, tags), row))
    pieces = [(place, text, str(tag)) for place, (text, tag) in enumerate(zip(texts, tags, strict=True))]
    return _learned(whole, _lines(pieces, row, _TAGS))


def _entities(words: list[str], tags: list[str]) -> list[Piece]:
    """Words that belong together by their tags: B- begins, I- goes on with the same label."""
    pieces: list[Piece] = []
    label, last = "", "O"
    for place, (word, tag) in enumerate(zip(words, tags, strict=True)):
        found = _TAG.fullmatch(tag)
        if found:
            goes_on = found[1] in "ILEM" and label == found[2] and last != "O"
            label = found[2]
            if goes_on:
                start, text, _ = pieces.pop()
                pieces.append((start, f"{text} {word}", label))
            else:
                pieces.append((place, word, label))
        last = tag
    return pieces


ANNOTATIONS = (
    Kind(
        "label_studio",
        "Label Studio export",
        is_label_studio,
        lambda row: ("data", "annotations" if "annotations" in row else "completions"),
        label_studio,
        opens=False,
    ),
    Kind(
        "label_studio_min",
        "Label Studio (JSON-MIN)",
        is_label_studio_min,
        lambda row: (next((name for name in _READ_FIRST if name in row), None), None),
        label_studio_min,
        "rows have `annotation_id` and `lead_time`",
        "Every column that Label Studio did not add itself is learned as what was said of the text.",
        opens=False,
    ),
    Kind(
        "labelled_pieces",
        "Labelled texts (doccano, Prodigy)",
        is_labelled_text,
        lambda row: ("text", next((name for name in (*_SPANS, "cats", "accept") if name in row), None)),
        labelled_text,
        opens=False,
    ),
    Kind("tagged_words", "Words with tags (CoNLL)", is_tagged, tagged_columns, tagged, opens=False),
)

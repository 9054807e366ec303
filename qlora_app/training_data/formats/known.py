"""Which format a row is in.

A new format is one small function in readers.py and one line in _IN_ORDER. Kinds without a function are recognised so
that a person is told what the file is; most specific first, because the first that fits is taken.
"""

from collections.abc import Callable, Iterator

from ...messages import Conversation, Message
from .choices import RIGHT_CHOICES, has_choice_list, is_headless_mmlu, multiple_choice, numbered
from .kind import Kind, Reader
from .marked_text import style_of
from .marks import bad_mark
from .named import named_columns, named_pair
from .native import EXPORTS, OTHER_TURNS
from .opening import opened, reasoned
from .readers import (
    DOCUMENTS,
    alpaca,
    as_text,
    chat,
    chosen_column,
    document,
    hh_rlhf,
    instances,
    label_columns,
    labelled,
    marked_text,
    pairs,
    preference,
    translation,
)
from .row_view import Reading
from .stand_ins import why_nothing
from .trees import best_path
from .turns import (
    ANSWERS,
    CHATS,
    CONTEXTS,
    LABELS,
    QUESTIONS,
    TEXTS,
    BadAnswer,
    Columns,
    RowError,
    first_turn,
    is_blank,
    tidy,
)

MEDIA = {"image", "images", "video", "videos", "audio", "audios"}


def _has(row: Columns, *names: str) -> bool:
    return not row.keys().isdisjoint(names)


def _starting(row: Columns, start: str) -> list[str]:
    return [name for name in row if name.startswith(start)]


def _is_choice(row: Columns) -> bool:
    if is_headless_mmlu(row):
        return True
    has_choices = len(numbered(row)) > 1 or _has(row, "choices", "options") or {"a", "b", "c"} <= row.keys()
    has_choices = has_choices or has_choice_list(row)
    return has_choices and _has(row, "question", "premise", "query")


def _first_of(row: Columns, names: tuple[str, ...]) -> str | None:
    return next((name for name in names if name in row), None)


def _asked_by(*names: str) -> Callable[[Columns], bool]:
    return lambda row: _first_of(row, (*QUESTIONS, *CONTEXTS)) in names and _has(row, *ANSWERS)


def _is_dialogue(row: Columns) -> bool:
    if not isinstance(row.get("chosen"), str) or _has(row, *QUESTIONS, *CHATS):
        return False
    return style_of(row["chosen"]) is not None


def _marked_as(name: str) -> Callable[[Columns], bool]:
    def fits(row: Columns) -> bool:
        if not isinstance(row.get("text"), str) or _has(row, *QUESTIONS[:-1], *ANSWERS):
            return False
        style = style_of(row["text"])
        return style is not None and style.name == name

    return fits


def _is_labelled(row: Columns) -> bool:
    if not _has(row, *LABELS) or _has(row, *CHATS):
        return False
    return _has(row, *TEXTS) or len(row) == 2


def _is_tree(row: Columns) -> bool:
    if isinstance(row.get("prompt"), dict):
        return True
    replies = row.get("replies")
    return isinstance(replies, list) and ("role" in row or bool(first_turn(replies)))


def _is_link(row: Columns) -> bool:
    """A root has no parent, which then is null or absent."""
    return "role" in row and _has(row, "parent_id", "parent_message_id", "message_id", "user_message_id")


def _pair_columns(row: Columns) -> tuple[str | None, str | None]:
    asks = _first_of(row, (*QUESTIONS, *CONTEXTS))
    names = [name for name in CONTEXTS if name in row and name != asks]
    names.append(asks or "")
    if asks == "instruction" and not is_blank(str(row.get("input") or "")):
        names.append("input")
    return "+".join(names), _first_of(row, ANSWERS)


def _chat_columns(row: Columns) -> tuple[str | None, str | None]:
    with_turns = [name for name, value in row.items() if not first_turn(value).keys().isdisjoint(("role", "from"))]
    usual = [name for name in CHATS if name in with_turns]
    name = _first_of(row, (*usual, *with_turns, *CHATS))
    return name, name


def _choice_columns(row: Columns) -> tuple[str | None, str | None]:
    names = [name for name in ("premise", "choices", "options", *numbered(row), "question", "query") if name in row]
    return "+".join(names), _first_of(row, RIGHT_CHOICES)


def _both(name: str) -> Callable[[Columns], tuple[str | None, str | None]]:
    return lambda row: (name, name)


def _preference_columns(row: Columns) -> tuple[str | None, str | None]:
    chosen = chosen_column(row)
    asks = "+".join(name for name in (*CHATS, *QUESTIONS) if name in row)
    return asks or chosen, chosen


def _tree_columns(row: Columns) -> tuple[str | None, str | None]:
    return "prompt" if "prompt" in row else "text", "replies"


def _labelled_columns(row: Columns) -> tuple[str | None, str | None]:
    texts, label = label_columns(row)
    return "+".join(texts), label


def _has_turns(row: Columns, who: str) -> bool:
    return any(who in first_turn(value) for value in row.values())


def _has_parts(row: Columns) -> bool:
    for value in row.values():
        first = first_turn(value)
        if "role" in first and isinstance(first.get("content"), list):
            return True
    return False


def _marked(name: str, title: str, because: str) -> Kind:
    return Kind(name, title, _marked_as(name), _both("text"), marked_text, because)


def _pairs(name: str, title: str, fits: Callable[[Columns], bool], read: Reader = pairs) -> Kind:
    return Kind(name, title, fits, _pair_columns, read, answers=True)


def _chat(name: str, title: str, fits: Callable[[Columns], bool], because: str) -> Kind:
    return Kind(name, title, fits, _chat_columns, chat, because)


_REJECTED = (
    "Rows hold pairs of answers: SFT learns the chosen ones, DPO, ORPO and KTO learn from the rejected ones as well."
)
_IN_ORDER = (
    *EXPORTS,
    Kind(
        "hh_rlhf",
        "hh-rlhf",
        _is_dialogue,
        _both("chosen"),
        hh_rlhf,
        "{user} is a dialogue with marks such as Human: and Assistant:",
        _REJECTED,
    ),
    Kind(
        "preference",
        "Preferences (chosen, rejected)",
        lambda row: bool(_starting(row, "rejected") and _starting(row, "chosen")),
        _preference_columns,
        preference,
        "rows have {answer} and a rejected answer",
        _REJECTED,
        answers=True,
    ),
    Kind(
        "oasst_tree",
        "Open Assistant trees",
        _is_tree,
        _tree_columns,
        best_path,
        "messages hold their replies",
        "Of several answers to a message the best ranked one is learned, the first one where nobody ranked.",
    ),
    Kind("oasst_links", "Open Assistant messages", _is_link, _both("text"), None, "rows name the message they answer"),
    Kind("media", "data with pictures, sound or video", lambda row: any(row.get(name) for name in MEDIA)),
    Kind("tokens", "text that is already cut into tokens (input_ids)", lambda row: "input_ids" in row),
    Kind("segments", "template-free segments", lambda row: isinstance(row.get("segments"), list)),
    Kind(
        "unnatural_instructions",
        "Unnatural Instructions",
        lambda row: "instruction" in row and "instruction_with_input" in first_turn(row.get("instances")),
        lambda row: ("instances.instruction_with_input", "instances.output"),
        instances,
    ),
    Kind(
        "self_instruct",
        "Self-Instruct",
        lambda row: isinstance(row.get("instances"), list) and "instruction" in row,
        lambda row: ("instruction+instances.input", "instances.output"),
        instances,
    ),
    Kind(
        "translation",
        "Translations",
        lambda row: isinstance(row.get("translation"), dict),
        _both("translation"),
        translation,
        "{user} holds two languages",
        "The first language asks and the second answers.",
    ),
    _chat("messages_parts", "Messages in parts", _has_parts, "{user} have `role` and a `content` of parts"),
    _chat(
        "messages",
        "Messages (OpenAI)",
        lambda row: _has_turns(row, "role") and not isinstance(row.get("prompt"), list),
        "{user} have `role` and `content`",
    ),
    _chat("sharegpt", "ShareGPT", lambda row: _has_turns(row, "from"), "{user} have `from` and `value`"),
    *OTHER_TURNS,
    _chat("messages", "Messages (OpenAI)", lambda row: "messages" in row, "rows have {user}"),
    _chat("sharegpt", "ShareGPT", lambda row: _has(row, *CHATS), "rows have {user}"),
    Kind(
        "multiple_choice",
        "Multiple choice",
        _is_choice,
        _choice_columns,
        multiple_choice,
        "rows have {user} and {answer}",
        "The answer to a question is the letter of its choice.",
    ),
    _pairs("dolly", "Dolly", lambda row: {"instruction", "context"} <= row.keys() and _has(row, *ANSWERS), alpaca),
    _pairs("alpaca", "Alpaca", lambda row: {"instruction", "output"} <= row.keys(), alpaca),
    _pairs("gpteacher", "GPTeacher", _asked_by("instruction"), alpaca),
    _pairs("question_answer", "Questions and answers", _asked_by("question", "query", "q")),
    _pairs("prompt_completion", "Prompts and completions", _asked_by("prompt")),
    _pairs("flan", "FLAN", _asked_by("inputs")),
    _pairs("input_output", "Inputs and outputs", _asked_by("input")),
    _pairs("text_to_text", "Text to text", _asked_by("text", *CONTEXTS)),
    Kind(
        "named_pairs",
        "Questions and answers by usual names",
        lambda row: named_columns(row)[0] is not None,
        named_columns,
        named_pair,
        note="Which column asks and which answers is taken from their usual names. If it is another one, say so under "
        '"Columns of your data".',
        answers=True,
    ),
    Kind("pairs_no_header", "a table whose columns have no names", lambda row: {"col1", "col2"} <= row.keys()),
    Kind("classification", "Labelled texts", _is_labelled, _labelled_columns, labelled, opens=False),
    Kind("prompts_only", "questions without answers", lambda row: _has(row, *QUESTIONS[:-1], "turns", "question_id")),
    _marked("guanaco_text", "Guanaco text", "{user} has ### Human: and ### Assistant:"),
    _marked("chip2", "Chip2", "{user} has <human>: and <bot>:"),
    _marked("marked_text", "Dialogues in one text", "{user} has marks that say who speaks"),
    Kind(
        "text",
        "Plain text",
        lambda row: _has(row, *DOCUMENTS),
        lambda row: (None, _first_of(row, DOCUMENTS)),
        document,
        "rows have {answer} and nothing that answers it",
        "There are no questions and answers in plain text: all of it is learned, and the model will go on writing "
        "like it.",
        opens=False,
    ),
)
KINDS = {kind.name: kind for kind in reversed(_IN_ORDER)}  # of two of one name the first
READABLE = {kind.name: kind.title for kind in _IN_ORDER if kind.read}
UNKNOWN = Kind("unknown", "rows with columns that are not known here", lambda row: True)
_NO_ANSWERS = {"text", "classification"}  # a flag beside a text may be its label
BY_CONTENT = MEDIA | {"text", "chosen", "col6"}  # rows with these columns are recognised one by one, not by their shape


def recognise(row: Columns, name: str = "auto") -> Kind:
    """The first kind that fits one row, among those of one name if it is given."""
    return next((kind for kind in _IN_ORDER if name in ("auto", kind.name) and kind.fits(row)), UNKNOWN)


def why(kind: Kind, row: Columns) -> str:
    """Completes "TITLE, because ..."."""
    user, answer = kind.columns(row)
    return kind.because.format(user=f"`{user}`".replace("+", "`, `"), answer=f"`{answer}`")


def convert(kind: Kind, columns: Columns, changes: list[str], reading: Reading | None = None) -> list[Conversation]:
    """One row as conversations that end with the assistant, nearly always one. Raises RowError and TwoColumnsFit.

    `changes` collects what was done to it: "merged", "dropped", "cut", "skipped". `reading` of the row is asked
    afterwards what of it was not read.
    """
    row = Reading(columns) if reading is None else reading
    is_good = _is_good(row)
    made = turns_of_row(kind, row)
    if isinstance(made, list):
        conversations = [tidy(made, changes)]
    else:
        conversations = _each(made, changes)
    if is_good is not None:
        conversations = [_labelled(one, is_good) for one in conversations]
    if is_good is False:
        raise BadAnswer(conversations)
    mark = "" if kind.name in _NO_ANSWERS else bad_mark(row)
    if mark:
        raise RowError(f"its `{mark[:40]}` is {as_text(row[mark], mark)[:30]!r}, which marks it as a bad answer")
    if kind.name in _NO_ANSWERS:
        return conversations
    return _with_words(conversations, changes)


def _with_words(conversations: list[Conversation], changes: list[str]) -> list[Conversation]:
    """Those that say something; where none does, RowError says why the last one does not."""
    kept, problem = [], ""
    for conversation in conversations:
        reason = why_nothing(conversation)
        if reason:
            problem = reason
            changes.append("skipped")
        else:
            kept.append(conversation)
    if problem and not kept:
        raise RowError(problem)
    return kept


def turns_of_row(kind: Kind, row: Reading) -> list[Message] | Iterator[list[Message]]:
    """What the row says in its format, with all that belongs to it.

    A few formats make several conversations of a row.
    """
    if kind.read is None:
        raise RowError(f"it looks like {kind.title}")
    made = kind.read(row)
    if not kind.opens:
        return made
    if isinstance(made, list):
        if kind.answers:
            made = reasoned(row, made)
        return opened(row, made)
    return (opened(row, one) for one in made)


def _is_good(row: Reading) -> bool | None:
    """As in data for KTO, where people said of every answer whether it was good; None where nobody did."""
    if "kto_tag" not in row and "label" not in row:
        return None
    names = ("kto_tag", "label") if _has(row, *CHATS, "completion") else ("kto_tag",)
    said = [row[name] for name in names if type(row.peek(name)) is bool]
    return all(said) if said else None


def _labelled(conversation: Conversation, is_good: bool) -> Conversation:
    last: Message = {**conversation[-1], "label": is_good}
    return [*conversation[:-1], last]


def _each(made: Iterator[list[Message]], changes: list[str]) -> list[Conversation]:
    """Every conversation of a row that can be used; if there is none, why the last one cannot."""
    kept, problem = [], RowError("there is nothing in it to learn from")
    for turns in made:
        try:
            kept.append(tidy(turns, changes))
        except RowError as error:
            problem = error
            changes.append("skipped")
    if not kept:
        raise problem
    return kept

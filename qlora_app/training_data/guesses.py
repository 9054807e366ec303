"""Which column may be what, where nobody can know: by the usual names of columns, and where these say nothing by what
the first rows hold. A guess is shown to a person and taken by a click; nothing is learned because of it alone.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, takewhile
from typing import Any

from .formats.columns import Guess
from .formats.names import ASIDE, LANGUAGE, NO_ROLE, SURE, WITHIN, Role, is_language, role_of
from .formats.paths import EACH, FIRST, JOINED, first_of, opened_cell, paths_of, value_at
from .formats.row_view import Reading
from .formats.turns import Columns, first_turn

MOST = 4  # guesses
_LOOKED_AT = 60  # rows
_MOST_COLUMNS, _LOOKED_INTO = 60, 60  # and places inside of them
_LONGEST = 2000  # characters of a cell that are looked at
_DEEPEST = 4  # objects in objects that turns are looked for in
_SHORT, _FEW = 40, 0.34  # characters of a label; different labels a row
_TEXTS = 12  # characters a text has on average, where names say nothing
_ASKS_OR_ANSWERS = {"prompt", "answer", "target", "source", "text", "context"}
_LANGUAGES = {"lang", "language", "langs", "languages"}
_TELL_APART = {"", "text", "context", "prompt"}  # roles of two texts that one label is of
_WHO = {"role", "from"}  # keys of a turn
_NOT_ANSWERED = {"rejected", "system", "reasoning"}  # roles of what neither asks nor answers
_NO_TEXT = re.compile(r"[\d\W_]*|https?://\S+|[\w-]+\.\w{2,4}|[0-9a-f-]{16,}", re.IGNORECASE)


@dataclass(frozen=True)
class Look:
    """What a column, or a place inside of its cells, holds in the first rows."""

    path: str  # as the file writes the column
    role: Role
    filled: float  # share of the rows
    length: float  # characters on average, of those that are filled
    different: float  # different values a row
    rows: int  # that have something there
    is_text: bool  # no numbers, addresses or keys only

    @property
    def is_label(self) -> bool:
        """Are its values short, and do they repeat?"""
        return self.length <= _SHORT and self.different <= _FEW

    @property
    def can_be_learned(self) -> bool:
        return self.filled > 0 and self.role.name != ASIDE


def guesses(rows: Sequence[Columns], names: Iterable[str], is_plain: bool = False) -> list[Guess]:
    """How columns may be meant, the likeliest first: settings of a ColumnMap. Nothing where no column can be learned.

    rows: the first ones, their names in lower case. names: of the columns as the file has them. is_plain: what stands
    in the column of the text is learned as it is where nothing answers.
    """
    names = list(names)
    if len(rows) == 1 and 2 * sum(map(_is_question, names)) > len(names):  # an object {question: answer}
        return []
    looks = [look for look in _looks(rows, names) if look.can_be_learned]
    found = [*_of_turns(rows, names), *_translations(looks), *_answered(looks), *_labelled(looks)]
    if not found:
        found = [*_by_place(looks), *_alone(looks, is_plain)]
    elif is_plain:
        found += _alone(looks, is_plain)
    opened = [other for guess in found for other in _with_lists(guess)]
    different = {tuple(sorted(guess.items())): guess for guess in opened}
    return list(different.values())[:MOST]


def has_texts(rows: Sequence[Columns], names: Iterable[str]) -> bool:
    """Are there two places or more that a person could name, one of them a text?"""
    looks = _looks(rows, names)
    return len(looks) > 1 and any(look.is_text and look.length >= _TEXTS for look in looks)


def asked_beside_text(rows: Sequence[Columns], names: Iterable[str], text: str, are_documents: bool) -> list[str]:
    """Columns beside a plain text that a person should be asked about: they may answer it, or be its label.

    text: the column that holds it. are_documents: it is too long to have a label.
    """
    looks = [look for look in _looks(rows, names) if look.path.strip().lower() != text]
    return [look.path for look in looks if _may_belong(look, are_documents)]


def _may_belong(look: Look, are_documents: bool) -> bool:
    role, different = look.role, look.different * look.rows
    if look.filled < 0.5 or different <= 1:
        return False
    if role.name == "label" and role.strength == SURE:
        return look.length <= 2 * _SHORT and not are_documents
    if role.name in ("answer", "target", "prompt", "rejected"):
        return look.is_text and role.strength > WITHIN and look.length >= _TEXTS
    if look.path.strip().lower() in _LANGUAGES:  # what a text is written in may be what is to be told
        return look.is_label and different > 2 and not are_documents
    return role.name == LANGUAGE and look.is_text and not look.is_label


def _of_turns(rows: Sequence[Columns], names: Iterable[str]) -> Iterator[Guess]:
    """Columns that hold the turns of conversations."""
    for name in islice(names, _MOST_COLUMNS):
        cells = [row.get(name.strip().lower()) for row in rows[:_LOOKED_AT]]
        paths = dict.fromkeys(path for cell in cells for path in _turns_in(name, cell))
        yield from ({"messages": path} for path in paths)


def _turns_in(path: str, cell: Any) -> Iterator[str]:
    value = opened_cell(cell)
    if _WHO.intersection(first_turn(value)):
        yield path
    if isinstance(value, dict) and path.count(".") < _DEEPEST:
        for key, inner in value.items():
            yield from _turns_in(f"{path}.{key}", inner)


def _is_question(name: str) -> bool:
    return name.rstrip().endswith(("?", "\uff1f")) and len(name.split()) > 2


# ---- by names


def _translations(looks: list[Look]) -> Iterator[Guess]:
    """From one language to the other, both ways where only the languages are known."""
    sources, targets = _of(looks, "source"), _of(looks, "target")
    if sources and targets:
        yield _guess(prompt=sources[0], answer=targets[0])
    languages = [look for look in looks if _is_language(look) and look.is_text]
    if len(languages) == 2:
        first, second = languages
        yield _guess(prompt=first, answer=second)
        yield _guess(prompt=second, answer=first)


def _is_language(look: Look) -> bool:
    last = re.split(r"[.\[]", look.path)[-1].strip("] ")
    return is_language(last) or look.role.name == LANGUAGE


def _answered(looks: list[Look]) -> Iterator[Guess]:
    """Whoever asks, and all that could answer."""
    prompts = _of(looks, "prompt")
    answers = [look for look in _of(looks, "answer") if look not in prompts] or _of(looks, "target")
    contexts = [look for look in _of(looks, "context") if look.is_text]
    systems = [look for look in _of(looks, "system") if look.is_text]
    if not prompts and answers:
        prompts, contexts = (contexts or _of(looks, "text") or _before(looks, answers)), []
    answers = _texts_first(answers)
    prompts = _texts_first([look for look in prompts if not _is_name_of_task(look)] or _of(looks, "source") or prompts)
    if prompts and not answers:
        answers = _after(looks, prompts)
    for asks in _without_input(prompts)[:2]:
        for answer in answers[:3]:
            beside = [look for look in (*_inputs(prompts, asks), *contexts) if look not in (asks, answer)]
            made = {"prompt": asks, "answer": answer} | ({"input": beside[0]} if beside else {})
            yield _guess(**made | ({"system": systems[0]} if systems else {}))


def _texts_first(looks: list[Look]) -> list[Look]:
    """Without numbers, such as tokens, where there are texts and no name leaves no doubt."""
    if not any(look.is_text for look in looks):
        return looks
    return [look for look in looks if look.is_text or (look.role.strength == SURE and FIRST not in look.path)]


def _is_name_of_task(look: Look) -> bool:
    return look.is_label and look.role.strength < SURE


def _without_input(prompts: list[Look]) -> list[Look]:
    """An instruction asks, and its input belongs to it."""
    others = [look for look in prompts if look.path.strip().lower() not in ("input", "inputs")]
    return others or prompts


def _inputs(prompts: list[Look], asks: Look) -> list[Look]:
    return [look for look in prompts if look is not asks and look not in _without_input(prompts)]


def _before(looks: list[Look], answers: list[Look]) -> list[Look]:
    """What may ask, where only the answer is known: the longest text."""
    return _longest(look for look in looks if look not in answers and look.role.name not in ("label", "rejected"))[:1]


def _after(looks: list[Look], prompts: list[Look]) -> list[Look]:
    """What may answer, where only the question is known: a label by its name, texts that follow, texts before."""
    unknown = [look for look in looks if look not in prompts and look.role.name in ("", "text", LANGUAGE)]
    place = looks.index(prompts[0])
    following = [look for look in unknown if looks.index(look) > place]
    texts = _longest(following) or _longest(unknown)
    if texts or _of(looks, "label"):
        return texts
    return following or unknown


def _labelled(looks: list[Look]) -> Iterator[Guess]:
    labels = [look for look in _of(looks, "label") if look.length <= 2 * _SHORT]
    labels.sort(key=lambda look: not look.is_label)
    texts = _of(looks, "text") or _of(looks, "prompt") or _of(looks, "context")
    texts = texts or _longest(look for look in looks if not look.role.name)
    pair = [look for look in looks if look.is_text and not look.is_label and look.role.name in _TELL_APART]
    for label in labels[:2]:
        for text in texts[:1]:
            if text is not label and not _is_surer(_of(looks, "answer"), label):
                asked = {"prompt": pair[0], "input": pair[1]} if len(pair) == 2 else {"prompt": text}
                yield _guess(**asked, label=label)


def _is_surer(answers: list[Look], label: Look) -> bool:
    return any(look.role.strength >= label.role.strength for look in answers)


def _of(looks: list[Look], role: str) -> list[Look]:
    """Those of a role, the surest names first, of these texts before labels and numbers."""
    found = [look for look in looks if look.role.name == role]
    return sorted(
        found,
        key=lambda look: (
            look.is_label and look.role.strength < SURE,
            -look.role.strength,
            not look.is_text,
            -look.filled,
        ),
    )


# ---- by what they hold


def _by_place(looks: list[Look]) -> Iterator[Guess]:
    """The first text asks and the next answers; a short one that repeats is a label."""
    looks = [look for look in looks if look.role.name not in _NOT_ANSWERED]
    texts = [look for look in looks if look.is_text and look.length >= _TEXTS and not look.is_label]
    labels = [look for look in looks if look.is_label and look not in texts]
    if len(texts) >= 2:
        yield _guess(prompt=texts[0], answer=texts[1])
    for label in labels[:2]:
        if texts:
            yield _guess(prompt=texts[0], label=label)
    if len(texts) > 2:
        yield _guess(prompt=texts[0], answer=texts[2])
    if len(texts) < 2 and not (texts and labels):
        whole = [look for look in looks if look.filled > 0]
        if len(whole) > 1:
            yield _guess(prompt=whole[0], answer=whole[1])


def _alone(looks: list[Look], is_plain: bool) -> Iterator[Guess]:
    """One text that is learned as it is. A question alone is none."""
    texts = [look for look in _of(looks, "text") if look.is_text]
    texts = texts or _longest(look for look in looks if look.role.name not in {"prompt", *_NOT_ANSWERED})
    if not texts or (len(texts) > 1 and not is_plain):
        return
    path = texts[0].path
    if path.endswith(FIRST):  # texts in a list, of which one may answer the other
        yield {"prompt": path, "answer": f"{path.removesuffix(FIRST)}[1]"}
    yield _guess(answer=texts[0])


def _longest(looks: Iterable[Look]) -> list[Look]:
    """Texts, those that are filled and long first."""
    texts = [look for look in looks if look.is_text and not look.is_label]
    return sorted(texts, key=lambda look: (look.filled < 0.5, -look.length))


# ---- what there is


def _looks(rows: Sequence[Columns], names: Iterable[str]) -> list[Look]:
    """Every column that holds texts or numbers, and every such place inside of the others."""
    found: list[Look] = []
    for name in islice(names, _MOST_COLUMNS):
        cells = [row.get(name.strip().lower()) for row in rows[:_LOOKED_AT]]
        opened = [opened_cell(cell) for cell in cells]
        inside = dict.fromkeys(path for cell in opened[:5] for path in paths_of(name, cell))
        places = [path for path in inside if EACH not in path and JOINED not in path]
        if not places or any(isinstance(cell, str) for cell in cells):
            found += _look(name, _role_of_cells(name, places), cells)
        for path in places[:_LOOKED_INTO]:
            found += _look(path, _role_inside(path), [_inside(cell, name, path) for cell in opened])
        if len(found) >= _LOOKED_INTO:
            break
    return found[:_LOOKED_INTO]


def _role_of_cells(name: str, places: list[str]) -> Role:
    """What the name says; less sure where the cells are lists of texts, written as text."""
    role = role_of(name)
    return Role(role.name, 0) if f"{name}{FIRST}" in places else role


def _role_inside(path: str) -> Role:
    """What the last name of a path says; where it says nothing, what the names before it do."""
    words = [part for part in re.split(r"[.\[\]]+", path) if part not in ("", "first")]
    if not words:
        return NO_ROLE
    last, *before = reversed(words)
    if len(words) > 1 and role_of(last).name == "text":  # `answers.text`
        outer = next((role_of(word) for word in before if role_of(word).name), NO_ROLE)
        return Role(outer.name or "text", WITHIN)
    if role_of(last).name or not before:
        return role_of(last)
    return Role(role_of(before[0]).name, WITHIN)


def _inside(cell: Any, name: str, path: str) -> Any:
    row = Reading({name.strip().lower(): cell})
    return first_of(row, path, value_at(row, path))


def _look(path: str, role: Role, cells: list[Any]) -> Iterator[Look]:
    values = [cell for cell in cells if isinstance(cell, (str, int, float))]
    texts = [text for text in (str(value)[:_LONGEST].strip() for value in values) if text]
    if not texts:
        return
    if all(isinstance(value, bool) for value in values) and role.name in _ASKS_OR_ANSWERS:
        role = Role(ASIDE, WITHIN)  # a flag
    is_text = sum(not _NO_TEXT.fullmatch(text) for text in texts) * 2 > len(texts)
    yield Look(
        path=path,
        role=role,
        filled=len(texts) / len(cells),
        length=sum(map(len, texts)) / len(texts),
        different=len(set(texts)) / len(texts),
        rows=len(texts),
        is_text=is_text,
    )


def _guess(**columns: Look) -> Guess:
    return {setting: look.path for setting, look in columns.items()}


def _with_lists(guess: Guess) -> list[Guess]:
    """The guess with an example of each entry of a list in which it asks and answers; where its answer is the first of
    a list of its own, also with an example of each of these, and with all of them.
    """
    asks, answer = guess.get("prompt", ""), guess.get("answer", "")
    shared = _shared_lists(asks, answer)
    made = {name: path.replace(FIRST, EACH, min(shared, _shared_lists(path, asks))) for name, path in guess.items()}
    if FIRST not in made.get("answer", ""):
        return [made]
    found = [made, made | {"answer": answer.replace(FIRST, EACH)}]
    if answer.endswith(FIRST):
        found.append(made | {"answer": made["answer"].removesuffix(FIRST) + JOINED})
    return found


def _shared_lists(first: str, second: str) -> int:
    """How many lists, from the left, both paths lead into."""
    both = zip(first.split(FIRST)[:-1], second.split(FIRST)[:-1], strict=False)
    return len(list(takewhile(lambda pair: pair[0] == pair[1], both)))

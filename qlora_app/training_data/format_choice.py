"""Which format a file is learned in, or why it cannot be learned from, in words that say what to do."""

import shlex

from ..errors import Problem, UserError
from .file_contents import LeftOut
from .formats.columns import AskColumns, AskWho, ColumnMap, Guess
from .formats.detect import FormatDetector, mapped_by
from .formats.known import KINDS, UNKNOWN, convert
from .formats.names import ASIDE, WHOLE, is_sure_label, role_of
from .formats.readers import DOCUMENTS, text_column
from .formats.turns import RowError, TwoColumnsFit
from .guesses import asked_beside_text, guesses, has_texts
from .read.refusals import WANTED, NotTrainable
from .rows_by_format import LINKS, UNREADABLE, RowsByFormat

_ASKED = {"unknown", "pairs_no_header", "prompts_only"}  # a person can say which column is what
_CHATS = {"messages", "messages_parts", "sharegpt"}
_PAIRS = {"question_answer", "prompt_completion", "input_output", "flan", "named_pairs", "gpteacher", "alpaca"}
_NO_COLUMNS_HELP = {
    *("people", "chatgpt", "claude", "api_requests", "label_studio", "label_studio_min", "tagged_words"),
    *("media", "tokens", LINKS, UNREADABLE.name),
}
_MOST_GUESSED = 4  # people who may be the one that answers
_MOST_PEOPLE = 8  # who are named in a question
_CORRECT = Problem("advice.correct_the_file", "Correct the file, then upload it again.")
_CHOOSE_FORMAT = Problem("advice.choose_format", "Let the format be recognised, or choose another.")
_NO_ANSWER = Problem("dataset.no_answer_in_it", ": there is no answer to learn")
_NO_COLUMNS = Problem("dataset.no_columns", "no columns")


def chosen_format(name: str, rows: RowsByFormat, detector: FormatDetector) -> str:
    """The format that is learned from, once all rows of the file `name` are known. Raises UserError where nothing can
    be learned, AskColumns where a person can say what is what.
    """
    if rows.doubt:
        found = _leading_somewhere(detector, guesses(detector.sample, detector.seen))
        raise _asking(
            AskColumns(
                "dataset.format_in_doubt",
                "{name} has {doubt}. {how}",
                "unknown",
                rows.rows,
                list(detector.seen),
                name=name,
                doubt=rows.doubt,
                how=_how(),
            ),
            found,
        )
    rows.join_links()
    rows.join_people(name, detector.columns.answers_by, detector.columns.silence_hours)
    differ = rows.differences()
    if differ:
        raise UserError(
            "dataset.formats_differ",
            "{name} holds files in different formats, which cannot be learned together: {differ}. Choose those "
            "of one format, or bring all into one.",
            name=name,
            differ=differ,
        )
    if detector.columns.given and detector.seen:
        detector.columns.check(name, detector.seen)
    unreadable = rows.left_out[UNREADABLE.name]
    if not rows.rows:
        raise NotTrainable(
            "dataset.no_rows", "{name} is empty: it has no rows. {wanted}", None, 0, name=name, wanted=WANTED
        )
    if 2 * len(unreadable) > rows.rows:
        raise NotTrainable(
            "dataset.rows_unreadable",
            "{name} has rows that cannot be read: {places}. The first: {reason}. {advice}",
            None,
            rows.rows,
            name=name,
            places=_some(unreadable),
            reason=unreadable[0].reason,
            advice=_CORRECT,
        )
    chosen = rows.majority(detector.lacking)
    if chosen not in rows.used:
        raise _nothing_usable(name, chosen, detector, rows)
    if chosen == "text" and _is_free(detector):
        _ask_beside_text(name, detector, rows)
    if chosen in _PAIRS and _is_free(detector):
        _ask_context(name, chosen, detector, rows)
    return chosen


def _is_free(detector: FormatDetector) -> bool:
    """Has nobody said yet how the rows are read?"""
    return detector.format == "auto" and detector.mapped is None


def _ask_context(name: str, chosen: str, detector: FormatDetector, rows: RowsByFormat) -> None:
    """Raises AskColumns where a column that is not read may be what the questions are about."""
    unread = [column for (where, column), count in rows.unread[chosen].items() if not where and 2 * count > rows.rows]
    others = [column for column in unread if role_of(column).name == "context" and role_of(column).strength >= WHOLE]
    found = _leading_somewhere(detector, guesses(detector.sample, detector.seen)) if others else []
    if not found:
        return
    raise _asking(
        AskColumns(
            "dataset.ask_context",
            "{name} has questions and answers, and beside them {others}, which may be what is asked about. {how}",
            chosen,
            rows.rows,
            list(detector.seen),
            name=name,
            others=_listed(dict.fromkeys(others)),
            how=_how(),
        ),
        found,
    )


def _ask_beside_text(name: str, detector: FormatDetector, rows: RowsByFormat) -> None:
    """Raises AskColumns where a column beside a plain text may be its label or its answer."""
    text = text_column(next(row for row in detector.sample if any(one in row for one in DOCUMENTS)))
    labels = rows.beside_texts.labels()
    others = asked_beside_text(detector.sample, detector.seen, text, rows.beside_texts.are_documents)
    is_sure = len(labels) == 1 and is_sure_label(labels[0])
    possible = [] if is_sure else [one for one in labels if role_of(one).name != ASIDE]
    doubtful = list(dict.fromkeys([*possible, *others]))
    if not doubtful or (is_sure and [one.lower() for one in others] == labels):
        return
    found = _leading_somewhere(detector, guesses(detector.sample, detector.seen, is_plain=True))
    if not found:
        return
    raise _asking(
        AskColumns(
            "dataset.ask_beside_text",
            "{name} has a column of texts, {text}, and beside it {others}, which may be the label or the answer to "
            "learn. {how}",
            "text",
            rows.rows,
            list(detector.seen),
            name=name,
            text=repr(text),
            others=_listed(dict.fromkeys(doubtful)),
            how=_how(),
        ),
        found,
    )


def _asking(error: AskColumns, found: list[Guess]) -> AskColumns:
    error.guesses = found
    return error


def _how() -> Problem:
    """What a person does who is asked."""
    return Problem("advice.name_columns", 'Say under "Columns of your data" which column asks and which one answers.')


def settings_of(guess: Guess) -> str:
    """A guess as it is written on the command line."""
    return " ".join(shlex.quote(f"dataset.columns.{setting}={column}") for setting, column in guess.items())


def _leading_somewhere(detector: FormatDetector, found: list[Guess]) -> list[Guess]:
    """The guesses with which a row can be learned."""
    return [guess for guess in found if _learns(guess, detector)]


def _learns(guess: Guess, detector: FormatDetector) -> bool:
    kind = mapped_by(ColumnMap(**guess))
    for row in detector.sample:
        try:
            convert(kind, row, [])
        except (RowError, TwoColumnsFit):
            continue
        return True
    return False


def _listed(names: dict[str, None]) -> str:
    return ", ".join(repr(name[:30]) for name in list(names)[:8])


def _some(left_out: list[LeftOut]) -> str:
    """Which rows, for a sentence: the first few by their lines."""
    places = ", ".join(_place(row) for row in left_out[:5])
    if len(left_out) > 5:
        places += " and more"
    return f"{places} ({len(left_out):,} in all)"


def _nothing_usable(name: str, chosen: str, detector: FormatDetector, rows: RowsByFormat) -> NotTrainable:
    """What to say of a file without a row to learn from, or what to ask."""
    kind = KINDS.get(chosen, UNKNOWN)
    names = _listed(detector.seen) or _NO_COLUMNS
    if chosen in rows.people.formats:
        return _ask_who(name, chosen, detector, rows)
    first = next(iter(rows.left_out[chosen]), None)
    found = []
    is_of_turns = chosen == "oasst_tree" and "role" in detector.seen
    if _is_free(detector) and chosen not in _NO_COLUMNS_HELP and not is_of_turns:
        found = _leading_somewhere(detector, guesses(detector.sample, detector.seen))
    if chosen in _CHATS:  # what stands beside turns that cannot be read is no label of them
        found = [guess for guess in found if "label" not in guess]
    if chosen == "prompts_only":
        found = [guess for guess in found if "prompt" in guess]
    is_open = chosen == "unknown" and _is_free(detector) and has_texts(detector.sample, detector.seen)
    if is_open or (found and (chosen in _ASKED or first is None)):
        return _asking(
            AskColumns(
                "dataset.ask_columns",
                "{name} has {title} ({names}). {how}",
                chosen,
                rows.rows,
                list(detector.seen),
                name=name,
                title=kind.title,
                names=names,
                how=_how(),
            ),
            found,
        )
    if found:
        return _asking(
            AskColumns(
                "dataset.ask_nested",
                "{name} has no trainable row as it is: the first is {first}. {how}",
                chosen,
                rows.rows,
                list(detector.seen),
                name=name,
                first=first,
                how=_how(),
            ),
            found,
        )
    if kind.read is None and chosen != LINKS and _is_free(detector):
        return _not_trainable(name, chosen, rows.rows, kind.title, names)
    if detector.format != "auto":
        return NotTrainable(
            "dataset.no_trainable_row_of_format",
            "{name} has no trainable row when it is read as {title}: there is no answer to learn in any of its "
            "{rows:,} rows. The first is {first}. {advice}",
            chosen,
            rows.rows,
            name=name,
            title=kind.title,
            first=first,
            advice=_CHOOSE_FORMAT,
        )
    return NotTrainable(
        "dataset.no_trainable_row",
        "{name} has no trainable row: there is no answer to learn in any of its {rows:,} rows. The first is {first}. "
        "{advice}",
        chosen,
        rows.rows,
        name=name,
        first=first,
        advice=_CORRECT,
    )


def _ask_who(name: str, chosen: str, detector: FormatDetector, rows: RowsByFormat) -> AskWho:
    """Conversations of people, of whom nobody said who answers, or somebody who is not there."""
    people, guess = rows.people.counts(), rows.people.likeliest(name)
    shown = [f"{who[:40]} ({count:,})" for who, count in list(people.items())[:_MOST_PEOPLE]]
    if len(people) > _MOST_PEOPLE:
        shown.append(f"{len(people) - _MOST_PEOPLE:,} more")
    told = detector.columns.answers_by
    what = Problem("dataset.are_people", "holds what people say to each other")
    if len(people) == 1:
        what = Problem("dataset.is_one_person", "holds what one person says, so nobody asks")
    if told:
        what = Problem("dataset.nobody_of_that_name", "holds nothing that {told!r} says", told=told)
    error = AskWho(
        "dataset.ask_who",
        '{name} {what}: {people}. Say who answers, under "Columns of your data". What that person says is learned. '
        "If it is no chat, choose the format Plain text.",
        chosen,
        rows.rows,
        list(detector.seen),
        name=name,
        what=what,
        people=", ".join(shown),
    )
    error.people, error.guess = people, guess
    in_order = dict.fromkeys([guess, *people])
    error.guesses = [{"answers_by": who} for who in in_order if who in people][:_MOST_GUESSED]
    return error


def _not_trainable(name: str, format: str, rows: int, title: str, names: str) -> NotTrainable:
    """Rows of a format that nobody can learn from; `title`: of the format, `names`: of the columns."""
    what = Problem("dataset.looks_like_format", "looks like {title} ({names})", title=title, names=names)
    if format in _ASKED and format != "prompts_only":
        what = Problem("dataset.has_format", "has {title} ({names})", title=title, names=names)
    return NotTrainable(
        "dataset.not_trainable",
        "{name} {what}, which cannot be trained on{why}. {wanted}",
        format,
        rows,
        name=name,
        what=what,
        why=_NO_ANSWER if format in ("unknown", "prompts_only") else "",
        wanted=WANTED,
    )


def _place(row: LeftOut) -> str:
    if row.line:
        return f"line {row.line}"
    return f"row {row.row}"

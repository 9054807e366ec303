"""A whole file as conversations: every row is used, or left out with its reason."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from ..errors import UserError
from ..settings import Settings
from .file_contents import FileContents, LeftOut, Progress
from .format_choice import chosen_format
from .formats.columns import ColumnMap
from .formats.detect import CHOICE, FormatDetector, OfAllRows
from .formats.known import KINDS, Kind, why
from .formats.names import is_sure_label
from .formats.people import PEOPLE
from .read.reading import ReadAs
from .read.rows import RowSource
from .rows_by_format import RowsByFormat
from .sentences import (
    change_sentences,
    label_sentences,
    left_out_sentences,
    misfit_sentences,
    note_sentences,
    reason_sentences,
    unread_sentences,
)
from .store import ConversationStore

_MARKED = {"guanaco_text", "chip2", "marked_text"}
# characters of messages that name their parent: nobody knows what belongs together before all are read
_MOST_LINKED = 200_000_000
_REPORTED_EVERY = 1000  # rows


def read_file(
    place: Path | Sequence[Path],
    name: str,
    format: str = "auto",
    columns: ColumnMap = ColumnMap(),
    limits: Settings | None = None,
    folder: Path | None = None,
    progress: Progress | None = None,
    looks: bool = True,
    how: ReadAs = ReadAs(),
    label: str = "",
) -> FileContents:
    """Read a file by its columns if they are given, else in the format given, else in that of most of its rows.

    An archive, a folder or a list of files is read as one dataset if its files have the same format. `limits` are for
    files that nobody has checked yet. Many conversations go to a table on disk, which is left in `folder` if there is
    one. `looks`: for what is odd about them. `how`: what a person said of its bytes. `label`: the column that
    is the label of a text, where it has no usual name. Raises UserError naming file, place and remedy, and AskColumns.
    """
    return _read(place, name, format, columns, limits, folder, progress, looks, how, OfAllRows(label))


def _read(
    place: Path | Sequence[Path],
    name: str,
    format: str,
    columns: ColumnMap,
    limits: Settings | None,
    folder: Path | None,
    progress: Progress | None,
    looks: bool,
    how: ReadAs,
    of_all: OfAllRows,
) -> FileContents:
    source = RowSource(place, name, limits, how=how, without=of_all.without)
    store = ConversationStore(folder)
    detector = FormatDetector(format, columns, of_all)
    rows = RowsByFormat(store, looks)
    try:
        for row in source:
            rows.add(row, detector)
            _check_size(name, rows, limits)
            if progress and rows.rows % _REPORTED_EVERY == 0:
                progress(rows.rows, source.share_read())
        misfits = rows.misfits() if detector.mapped is None else {}
        again = (format, of_all._replace(without=(*of_all.without, *misfits)))
        if not misfits:
            chosen = chosen_format(name, rows, detector)
            again = _read_again_as(chosen, rows, detector)
        if again == (format, of_all):
            return _contents(chosen, rows, detector, source.warnings)
    except BaseException:
        store.discard()
        raise
    store.discard()
    found = _read(place, name, again[0], columns, limits, folder, progress, looks, how, again[1])
    return replace(found, warnings=[*misfit_sentences(misfits), *found.warnings])


def _check_size(name: str, rows: RowsByFormat, limits: Settings | None) -> None:
    if limits and rows.rows > limits.max_rows:
        raise UserError(
            "dataset.too_many_rows",
            "{name} has more than {most:,} rows. Split it, or set QLORA_APP_MAX_ROWS higher.",
            name=name,
            most=limits.max_rows,
        )
    if rows.linked_characters > _MOST_LINKED:
        raise UserError(
            "dataset.too_many_linked",
            "{name} has more than {most:,.0f} MB of messages that name the one they answer (up to row {rows:,}), "
            "too much to put together here. Split it by its trees, or write each conversation as one row with "
            "`messages`.",
            name=name,
            most=_MOST_LINKED / 1_000_000,
            rows=rows.rows,
        )


def _read_again_as(chosen: str, rows: RowsByFormat, detector: FormatDetector) -> tuple[str, OfAllRows]:
    """(format, what only the whole file could tell) in which the rows are to be read: as they were, or once more."""
    format, label = _read_as(chosen, rows, detector) or (detector.format, detector.of_all.label)
    first_choice = rows.choice_numbers.first if chosen == CHOICE else detector.of_all.first_choice
    train_only = rows.sorted[True] > 0 and rows.sorted[False] > 0
    return format, detector.of_all._replace(label=label, first_choice=first_choice, train_only=train_only)


def _read_as(chosen: str, rows: RowsByFormat, detector: FormatDetector) -> tuple[str, str] | None:
    if chosen != "text" or detector.format != "auto" or detector.of_all.label:
        return None
    labels = rows.beside_texts.labels()
    if len(labels) == 1 and is_sure_label(labels[0]):
        return "auto", labels[0]
    # a web page with questions in it is text like the others
    is_mixed = any(marked in rows.used for marked in _MARKED)
    if not is_mixed:
        return None
    return ("text", "")


def _contents(chosen: str, rows: RowsByFormat, detector: FormatDetector, warnings: list[str]) -> FileContents:
    kind = detector.mapped or KINDS[chosen]
    used, every = rows.used[chosen], rows.used.store.finish()
    left_out = [row for of_format in rows.left_out.values() for row in of_format]
    left_out += _of_other_formats(rows, kind, chosen)
    left_out.sort(key=lambda row: row.row)
    first = detector.first[chosen]
    user, answer = kind.columns(first)
    return FileContents(
        format=chosen,
        because=f"{kind.title}, because {why(kind, first)}",
        user=user,
        answer=answer,
        rows=rows.rows,
        conversations=used.select_from(every),
        numbers=used.numbers,
        lines=used.lines,
        left_out=left_out,
        warnings=[*warnings, *_sentences(chosen, kind, rows, left_out, detector)],
        digest=used.digest.hexdigest(),
        characters=used.characters,
        duplicates=used.findings.duplicates,
        keys=bytes(used.findings.keys),
        asked=used.findings.asked,
        pairs=used.judged.pairs,
        labelled=used.judged.labelled + len(rows.unwanted.places),
        unwanted=rows.unwanted.select_from(every) if rows.unwanted.places else (),
    )


def _sentences(
    chosen: str, kind: Kind, rows: RowsByFormat, left_out: list[LeftOut], detector: FormatDetector
) -> list[str]:
    """Everything that is to be said of the rows, the gravest first."""
    columns, label = detector.columns, detector.of_all.label
    used = rows.used[chosen]
    sentences = left_out_sentences(rows.rows, left_out)
    sentences += change_sentences(rows, chosen)
    if kind.note:
        sentences.append(kind.note)
    if chosen == CHOICE:
        sentences += rows.choice_numbers.sentences()
    if chosen == PEOPLE:
        sentences += rows.people.sentences(columns.answers_by, columns.silence_hours)
        sentences += reason_sentences(left_out)
    if chosen == "classification":
        sentences += label_sentences(used.labels, label)
    sentences += note_sentences(rows, chosen)
    possible_labels = rows.beside_texts.labels() if chosen == "text" else []
    sentences += unread_sentences(rows.unread[chosen], possible_labels)
    sentences += used.judged.sentences()
    sentences += used.findings.sentences()
    return sentences


def _of_other_formats(rows: RowsByFormat, kind: Kind, chosen: str) -> Iterator[LeftOut]:
    """Rows that could be used if most rows were like them, each once."""
    for name, others in rows.used.items():
        if name == chosen:
            continue
        reason = f"its format is {KINDS[name].title}, that of most rows is {kind.title}"
        lines = dict(zip(others.numbers, others.lines, strict=True))
        for number, line in lines.items():
            yield LeftOut(number, line or None, reason)

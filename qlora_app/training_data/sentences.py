"""What is said of the rows of a file: which were left out or changed, and what of them is not read."""

from collections import Counter, defaultdict

from .file_contents import LeftOut
from .formats.marks import scores_in
from .rows_by_format import RowsByFormat

_CHANGES = {
    "merged": "consecutive turns of the same speaker were merged",
    "cut": "the last turn has no answer, so it was cut",
    "dropped": "the assistant speaks before anybody asked, so its first turn was dropped",
    "skipped": "one of several instances could not be used and was skipped",
}
_SHOWN_REASONS = 6
_MOST_LABELS = 1000  # of more, most are free texts
_SHOWN_NAMES = 15  # of columns that are not read


def left_out_sentences(rows: int, left_out: list[LeftOut]) -> list[str]:
    """How many of so many rows are not used, and why the first is not; nothing where all are."""
    if not left_out:
        return []
    reasons = len({row.reason for row in left_out})
    several = "" if reasons == 1 else f", for {reasons} different reasons"
    return [f"Left out: {len(left_out):,} of {rows:,} rows{several}; the first is {left_out[0]}."]


def reason_sentences(left_out: list[LeftOut]) -> list[str]:
    """How many rows are left out for which reason, where there are several reasons."""
    counts = Counter(row.reason for row in left_out)
    if len(counts) < 2:
        return []
    return [f"Left out: {count:,} of these rows: {reason}." for reason, count in counts.most_common(_SHOWN_REASONS)]


def change_sentences(rows: RowsByFormat, format: str) -> list[str]:
    """In how many rows of a format what was changed, and in which first."""
    sentences = []
    for change, words in _CHANGES.items():
        changed = rows.changed.get((format, change))
        if changed:
            sentences.append(f"In {_rows(len(changed))} {words} (first: row {changed[0]}).")
    return sentences


def note_sentences(rows: RowsByFormat, format: str) -> list[str]:
    """In how many rows of a format something unclear was understood how."""
    return [f"In {_rows(count)} {note}." for note, count in rows.notes[format].items()]


def _rows(count: int) -> str:
    if count == 1:
        return "1 row"
    return f"{count:,} rows"


def unread_sentences(unread: Counter[tuple[str, str]], labels: list[str]) -> list[str]:
    """Whatever the rows hold beside what is learned, by where it stands.

    `labels`: columns that could be the label of a text.
    """
    places: dict[str, list[str]] = defaultdict(list)
    for (where, key), count in unread.most_common():
        places[where].append(f"`{key[:40]}` ({count:,})")
    sentences = [_unread_sentence(where, names) for where, names in places.items()]
    scores = scores_in(key for where, key in unread if not where)
    if scores:
        sentences.append(
            f"{_either(scores)} may say how good a row is. It is not read: bad rows are learned like good ones. Take "
            "them out of the file if there are any."
        )
    if labels:
        sentences.append(f'If {_either(labels)} is the label to learn, say so under "Columns of your data".')
    return sentences


def _unread_sentence(where: str, names: list[str]) -> str:
    listed = ", ".join(names[:_SHOWN_NAMES])
    if len(names) > _SHOWN_NAMES:
        listed += f" and {len(names) - _SHOWN_NAMES:,} more"
    if not where:
        return f"Columns that are not read, with the number of rows they stand in: {listed}."
    if where.startswith("`"):
        return f"Inside of {where} not read, with the number of rows it stands in: {listed}."
    return f"Keys of {where} that are not read, with the number of rows they stand in: {listed}."


def _either(names: list[str]) -> str:
    return " or ".join(f"`{name[:40]}`" for name in names[:4])


def label_sentences(counts: Counter[str], label: str) -> list[str]:
    """Which labels there are and how many of each; a rare one is hardly learned.

    `label`: their column, where it was found out.
    """
    sentences = []
    if label:
        sentences.append(
            f"`{label[:40]}` is taken for the label of each text, because its values are short and repeat. If it is "
            "none, choose the format Plain text."
        )
    shown = ", ".join(f"{value[:30]!r} ({count:,})" for value, count in counts.most_common(6))
    more = " and more" if len(counts) > 6 else ""
    sentences.append(f"The label is learned as the answer: {shown}{more}.")
    rare = [value for value, count in counts.items() if count == 1]
    if rare and len(counts) < _MOST_LABELS:
        sentences.append(
            f"Labels that only one row has can hardly be learned, and not be measured: {len(rare):,} of "
            f"{len(counts):,}, such as {rare[0][:30]!r}."
        )
    return sentences


def misfit_sentences(rows: dict[str, int]) -> list[str]:
    """Which of several files are not learned, because their rows are of another kind, with how many they have."""
    if not rows:
        return []
    shown = ", ".join(f"{file} ({count:,})" for file, count in list(rows.items())[:_SHOWN_NAMES])
    more = f" and {len(rows) - _SHOWN_NAMES:,} more" if len(rows) > _SHOWN_NAMES else ""
    return [f"Not learned, because their rows do not fit those of the other files: {shown}{more}."]

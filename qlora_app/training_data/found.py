"""What is said of the rows of a file beside what was left out."""

from collections import Counter, defaultdict

_SHOWN_NAMES = 15  # of columns that are not read


def unread_sentences(unread: Counter[tuple[str, str]], labels: list[str]) -> list[str]:
    """Whatever the rows hold beside what is learned, by where it stands. `labels`: columns that could be the label of a
    text.
    """
    places: dict[str, list[str]] = defaultdict(list)
    for (where, key), count in unread.most_common():
        places[where].append(f"`{key[:40]}` ({count:,})")
    hint = [f'If {_either(labels)} is the label to learn, say so under "Columns of your data".'] if labels else []
    return [_unread_sentence(where, names) for where, names in places.items()] + hint


def _unread_sentence(where: str, names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN_NAMES:,} more" if len(names) > _SHOWN_NAMES else ""
    listed = ", ".join(names[:_SHOWN_NAMES]) + more
    if not where:
        return f"Columns that are not read, with the number of rows they stand in: {listed}."
    if where.startswith("`"):
        return f"Inside of {where} not read, with the number of rows it stands in: {listed}."
    return f"Keys of {where} that are not read, with the number of rows they stand in: {listed}."


def _either(names: list[str]) -> str:
    return " or ".join(f"`{name[:40]}`" for name in names[:4])


def label_sentences(counts: Counter[str], label: str) -> list[str]:
    """Which labels there are and how many of each; a rare one is hardly learned. `label`: their column, where it was
    found out.
    """
    shown = ", ".join(f"{label[:30]!r} ({count:,})" for label, count in counts.most_common(6))
    found = [
        f"`{label[:40]}` is taken for the label of each text, because its values are short and repeat. If it is none, "
        f"choose the "
        "format Plain text."
    ]
    return [
        *(found if label else []),
        f"The label is learned as the answer: {shown}{' and more' if len(counts) > 6 else ''}.",
    ]

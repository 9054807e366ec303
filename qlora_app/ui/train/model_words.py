"""The list of models as HTML. What a person wrote is escaped and not translated."""

from html import escape

from ..translate import translate
from .model_list import KIND_TITLES, Group, Row

# What the search box holds is no part of the list: typed words stay while the list is made anew.
FIND = (
    '<div class="find"><button type="button" data-back aria-label="Back"><span aria-hidden="true">←</span></button>'
    '<input type="search" aria-label="Find a model" placeholder="Find a model, or type a folder or a Hub id" '
    'autocomplete="off" spellcheck="false"></div>'
    '<div class="chips" role="group" aria-label="Show only">'
    + "".join(
        f'<button type="button" data-chip="{kind}" aria-pressed="false">{title}</button>'
        for kind, title in KIND_TITLES.items()
    )
    + "</div>"
    '<p class="typed" hidden><button type="button" class="link" data-typed>Use <b translate="no"></b></button></p>'
    '<p class="ask" hidden><button type="button" class="link" data-search>Search the Hub for <b translate="no"></b>'
    "</button></p>"
    '<p class="none quiet" role="status" hidden>Nothing here by these words.</p>'
)


def list_words(groups: list[Group]) -> str:
    """Every group with its rows."""
    return "".join(map(_group, groups))


def hits_words(rows: list[Row]) -> str:
    """What was found on the Hub."""
    return _group(Group("On the Hub", rows)) if rows else ""


def _group(group: Group) -> str:
    rows = "".join(map(_row, group.rows))
    return f'<section class="models"><h3>{escape(group.title)}</h3><ul>{rows}</ul></section>'


def _row(row: Row) -> str:
    tags = f'data-kind="{row.kind}" data-words="{escape(row.searched)}"'
    if row.problem:
        reason = escape(translate(row.problem))
        return f'<li class="broken" {tags}><b translate="no">{escape(row.title)}</b> <span>{reason}</span></li>'
    written = ' translate="no"' if row.is_written else ""
    facts = " · ".join(filter(None, [row.facts[0] if row.facts else "", row.download, *row.facts[1:]]))
    level = row.level.replace(" ", "-") or "unknown"
    return (
        f'<li {tags}><button type="button" data-row="{escape(row.key)}">'
        f'<b translate="no">{escape(row.title)}</b> <small>{escape(facts)}</small> '
        f'<i class="fit {level}" title="{escape(row.figures)}">{escape(row.fit)}</i> <em>{escape(row.time)}</em> '
        f"<span{written}>{escape(row.note)}</span></button></li>"
    )

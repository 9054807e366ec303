"""What changed between two contestants, as HTML: answers side by side, grouped, to be searched."""

from collections.abc import Mapping, Sequence
from html import escape
from urllib.parse import urlencode

from ...evaluate import Contestant
from ...evaluate.changed import KINDS, Changed, WhatChanged
from ..chat.markdown import rendered
from .report_page import AT_ONCE, Listed

WORDS = {"better": "Better", "worse": "Worse", "other": "Otherwise"}
LONGEST_LINKED = 1500  # letters of a question in an address
FIND = "Find in questions and answers"


def changed_html(
    found: WhatChanged,
    pair: tuple[str, str],
    contestants: Sequence[Contestant],
    titles: Mapping[str, str],
    listed: Listed,
    address: str,
    root: str,
) -> str:
    """pair: the first and the second. titles: {contestant: what people call it}. In English."""
    names = {one.word: titles.get(one.word, one.word) for one in contestants}
    choose = "".join(_select(name, names, chosen) for name, chosen in zip(("first", "second"), pair, strict=True))
    counts = found.counts
    groups = "".join(_option(kind, f"{WORDS[kind]}: {counts[kind]:,}", listed.kind) for kind in KINDS)
    every = _option("all", f"All: {len(found.changed):,}", listed.kind)
    field = f'value="{escape(listed.words)}" placeholder="{FIND}" aria-label="{FIND}"'
    form = f"""<form method="get" action="{address}" class="filter">{choose}
<select name="show" aria-label="Which answers">{every}{groups}</select>
<input type="search" name="find" {field}><button>Show</button></form>"""
    some = sorted((one for one in found.changed if _is_listed(one, listed)), key=lambda one: KINDS.index(one.kind))
    shown = some[listed.page * AT_ONCE : (listed.page + 1) * AT_ONCE]
    here = {one.word: one for one in contestants if one.is_here}
    items = "".join(_changed(one, pair, names, here, root) for one in shown)
    return f"""{form}<p class="muted">Answered in the same words: {found.alike:,}. Found: {len(some):,}.</p>{items}
{_turning(listed, len(some), pair, address)}"""


def _changed(
    one: Changed, pair: tuple[str, str], names: Mapping[str, str], here: Mapping[str, Contestant], root: str
) -> str:
    sides = "".join(
        f'<article><h3 translate="no">{escape(names[name])}</h3><div class="said" translate="no">{rendered(text)}</div>'
        f"{_why(here.get(name), one.question, root)}</article>"
        for name, text in zip(pair, (one.first, one.second), strict=True)
    )
    mark = {"better": "good", "worse": "bad"}.get(one.kind, "")
    by = f' <span class="muted" translate="no">{escape(one.by)}</span>' if one.by else ""
    wanted = f'<p class="muted">Expected: <b translate="no">{escape(one.expected)}</b></p>' if one.expected else ""
    return f"""<details class="judged" open><summary><span class="asked" translate="no">{escape(one.question)}</span>
<span class="chip {mark}">{WORDS[one.kind]}</span>{by}</summary>{wanted}<div class="sides">{sides}</div></details>"""


def _why(contestant: Contestant | None, question: str, root: str) -> str:
    """In the chat an answer is explained token by token: the question stands there in the box."""
    if contestant is None:
        return ""
    asked = {"tab": "chat", "run": contestant.run}
    if len(question) <= LONGEST_LINKED:  # half of it would be another question
        asked["ask"] = question
    if contestant.checkpoint is not None:
        asked["step"] = str(contestant.checkpoint)
    link = escape(f"{root}/?{urlencode(asked)}")
    return f'<p><a href="{link}" target="_blank" rel="noopener">Ask it in the chat, and why it says so</a></p>'


def _is_listed(one: Changed, listed: Listed) -> bool:
    texts = "\n".join((one.question, one.first, one.second, one.expected)).lower()
    return listed.kind in ("all", one.kind) and listed.words.lower() in texts


def _select(name: str, names: Mapping[str, str], chosen: str) -> str:
    options = "".join(_option(one, escape(title), chosen, ' translate="no"') for one, title in names.items())
    words = {"first": "From", "second": "To"}[name]
    return f'<select name="{name}" aria-label="{words}" translate="no">{options}</select>'


def _option(value: str, words: str, chosen: str, more: str = "") -> str:
    return f'<option value="{escape(value)}"{more}{" selected" if value == chosen else ""}>{words}</option>'


def _turning(listed: Listed, count: int, pair: tuple[str, str], address: str) -> str:
    def link(page: int, words: str) -> str:
        asked = {"first": pair[0], "second": pair[1], "show": listed.kind, "find": listed.words, "page": page}
        return f'<a class="button" href="{address}?{escape(urlencode(asked))}">{words}</a>'

    before = link(listed.page - 1, "Before") if listed.page > 0 else ""
    after = link(listed.page + 1, "Next") if (listed.page + 1) * AT_ONCE < count else ""
    return f'<div class="deeds">{before}{after}</div>'

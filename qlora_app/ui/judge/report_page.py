"""What a judge found, as HTML: how far it is to be trusted, who won, and every judgment with what the judge wrote."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from ...evaluate.judge import Judged, JudgeReport
from ...evaluate.judge.report import Standing
from ...evaluate.ratings import Judgment, standings_of, svg_of
from ..chat.markdown import rendered
from ..language import problem_in

AT_ONCE = 25  # questions on one page
FIND = "Find in questions, answers, judgments"
KINDS = (  # which judgments are listed
    ("all", "All"),
    ("decided", "Decided"),
    ("tie", "Ties"),
    ("differ", "Both orders differ"),
    ("unread", "Not readable"),
)


@dataclass(frozen=True)
class Listed:
    """What of the judgments is looked at. page: from 0 on."""

    kind: str = "all"
    words: str = ""
    page: int = 0


def report_html(report: JudgeReport, judged: Sequence[Judged], language: str) -> str:
    """The sentences and tables. Errors in the language, the rest in English."""
    words = "".join(f"<li>{escape(problem_in(one, language))}</li>" for one in report.words)
    price = f"Spent: {report.money:,.2f}." if report.money is not None else ""
    facts = f"Calls: {report.calls:,}. Tokens read: {report.tokens_in:,}. Tokens written: {report.tokens_out:,}."
    whose = f'<span translate="no">{escape(report.judge)} ({escape(report.model)})</span>'
    head = f'<h2>Report</h2><p class="muted">{whose}</p><ul class="report">{words}</ul><p class="muted">{facts}</p>'
    money = f'<p class="muted">{price}</p>' if price else ""
    return f"{head}{money}{_standings(report.standings)}{_scores(report)}{_ratings(judged)}"


def judgments_html(
    judged: Sequence[Judged], rows: Mapping[str, Mapping[str, Any]], listed: Listed, address: str
) -> str:
    """Every question with both answers, and what the judge wrote in each order. rows: {id: a line of rows.jsonl}."""
    pairs: dict[tuple[str, str, str], list[Judged]] = {}
    for row in judged:
        pairs.setdefault((row.question, row.model_a, row.model_b), []).append(row)
    found = [(key, some) for key, some in pairs.items() if _is_listed(some, rows.get(key[0], {}), listed)]
    shown = found[listed.page * AT_ONCE : (listed.page + 1) * AT_ONCE]
    items = "".join(_pair(key, some, rows.get(key[0], {})) for key, some in shown)
    return f"""<h2>Every judgment</h2>{_filter(listed, address)}
<p class="muted">Found: {len(found):,} of {len(pairs):,}.</p>{items}{_turning(listed, len(found), address)}"""


def _is_listed(some: Sequence[Judged], row: Mapping[str, Any], listed: Listed) -> bool:
    winners = {one.winner for one in some if one.is_readable}
    is_kind = {
        "decided": len(winners) == 1 and winners <= {"a", "b"},
        "tie": winners == {"tie"},
        "differ": len(winners) > 1,
        "unread": any(not one.is_readable for one in some),
    }.get(listed.kind, True)
    texts = [row.get("question", ""), *row.get("answers", {}).values(), *(one.text for one in some)]
    return is_kind and listed.words.lower() in "\n".join(map(str, texts)).lower()


def _pair(key: tuple[str, str, str], some: Sequence[Judged], row: Mapping[str, Any]) -> str:
    _, a, b = key
    answers = row.get("answers", {})
    sides = "".join(
        f'<article translate="no"><h3>{escape(name)}</h3><div class="said">{rendered(str(answers.get(name, "")))}</div>'
        "</article>"
        for name in (a, b)
        if name
    )
    verdicts = "".join(map(_verdict, some))
    outcome = " ".join(_outcome(one) for one in some)
    question = escape(str(row.get("question", key[0])))
    return f"""<details class="judged"><summary><span class="asked" translate="no">{question}</span> {outcome}</summary>
<div class="sides">{sides}</div>{verdicts}</details>"""


def _outcome(one: Judged) -> str:
    """In the line of a question: who won in that order."""
    if one.score is not None:
        return f'<span class="chip" translate="no">{one.score:g}</span>'
    if one.winner is None:
        return '<span class="chip bad">?</span>'
    if one.winner == "tie":
        return '<span class="chip">tie</span>'
    return f'<span class="chip good" translate="no">{escape(one.model_a if one.winner == "a" else one.model_b)}</span>'


def _verdict(one: Judged) -> str:
    first = one.model_a if one.first == "a" else one.model_b
    order = f'<span>First:</span> <b translate="no">{escape(first)}</b>' if one.model_b else ""
    cut = '<span class="chip bad">cut off</span>' if one.was_cut else ""
    text = one.text or one.problem
    return f"""<section class="verdict"><p class="muted">{order} {_outcome(one)} {cut}</p>
<pre translate="no">{escape(text)}</pre></section>"""


def _filter(listed: Listed, address: str) -> str:
    options = "".join(
        f'<option value="{name}"{" selected" if name == listed.kind else ""}>{words}</option>' for name, words in KINDS
    )
    field = f'value="{escape(listed.words)}" placeholder="{FIND}" aria-label="{FIND}"'
    return f"""<form method="get" action="{address}" class="filter">
<select name="show" aria-label="Which judgments">{options}</select>
<input type="search" name="find" {field}><button>Show</button></form>"""


def _turning(listed: Listed, count: int, address: str) -> str:
    from urllib.parse import urlencode

    def link(page: int, words: str) -> str:
        asked = urlencode({"show": listed.kind, "find": listed.words, "page": page})
        return f'<a class="button" href="{address}?{escape(asked)}">{words}</a>'

    before = link(listed.page - 1, "Before") if listed.page > 0 else ""
    after = link(listed.page + 1, "Next") if (listed.page + 1) * AT_ONCE < count else ""
    return f'<div class="deeds">{before}{after}</div>'


def _standings(standings: Sequence[Standing]) -> str:
    of_all = _table([one for one in standings if not one.category])
    by_category = _table([one for one in standings if one.category])
    return of_all + (f"<details><summary>By category</summary>{by_category}</details>" if by_category else "")


def _table(standings: Sequence[Standing]) -> str:
    if not standings:
        return ""
    rows = "".join(map(_standing, standings))
    head = "<th>Category</th><th>Pair</th><th>Won</th><th>Ties</th><th>Lost</th><th>Rate</th><th>95 % interval</th>"
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'


def _standing(one: Standing) -> str:
    category = f'<span translate="no">{escape(one.category)}</span>' if one.category else "All"
    return (
        f'<tr><td>{category}</td><td><span translate="no">{escape(one.model_a)} : {escape(one.model_b)}</span></td>'
        f"<td>{one.win:,}</td><td>{one.tie:,}</td><td>{one.loss:,}</td><td>{one.rate.value:.0%}</td>"
        f"<td>{one.rate.low:.0%} to {one.rate.high:.0%}</td></tr>"
    )


def _scores(report: JudgeReport) -> str:
    if not report.scores:
        return ""
    rows = "".join(
        f'<tr><td></td><td><span translate="no">{escape(name)}</span></td><td>{one.value:.2f}</td>'
        f"<td>{one.low:.2f} to {one.high:.2f}</td></tr>"
        for name, one in sorted(report.scores.items(), key=lambda item: -item[1].value)
    )
    head = "<th></th><th>Contestant</th><th>Mean score</th><th>95 % interval</th>"
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'


def _ratings(judged: Sequence[Judged]) -> str:
    """Worth a picture from three models on; of two the rate says it all."""
    rows = [
        Judgment(one.model_a, one.model_b, one.winner, one.question, one.rater, one.category)
        for one in judged
        if one.winner is not None
    ]
    if len({name for row in rows for name in row.pair}) < 3:
        return ""
    return f'<h2>Ratings</h2><div class="wide" translate="no">{svg_of(standings_of(rows))}</div>'

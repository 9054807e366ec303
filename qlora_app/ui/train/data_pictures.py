"""The data as pictures: an example token by token with its loss mask, and the lengths of all examples as a
histogram.
"""

import math
from html import escape
from itertools import groupby

from ...formatting import TASK_NAMES
from ...tasks.chat import NOTHING_TO_LEARN
from ...tasks.preview import ENOUGH, Lengths, Token
from ...training_data import Examples
from ..translate import translate
from .data_words import coded

KINDS = {"read": "read only", "trained": "trained", "cut": "cut off"}
FIRST, AROUND, LAST = 900, 150, 150  # tokens shown of a very long example: its start, both sides of the cut, its end
SHOWN_LABELS = 8
SKEWED = 5  # times as many rows of one label as of another
REASONS = 5  # rows left out that are named
WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 380, 156, 44, 22, 20  # of the histogram
BLANKS = {" ": "blank", "\n": "line", "\t": "tab"}


# ---- one example


def mask_words(parts: list[list[Token]], at: int, count: int, problem: str = "") -> str:
    """Example `at` of `count`, how many of its tokens are what, and each of them; a screen reader hears the parts
    named.

    parts: the tokens of the example, or of each that is made of it. problem: why it, or an answer in it, is not
    learned.
    """
    tokens = [token for part in parts for token in part]
    kinds = {kind: sum(token.kind == kind for token in tokens) for kind in KINDS}
    legend = "".join(
        f'<li><span class="part {kind}">{words}</span> <span>{kinds[kind]:,}</span></li>'
        for kind, words in KINDS.items()
    )
    warning = f'<p class="warning">Not learned: {escape(problem)}</p>' if problem else ""
    several = (
        ""
        if len(parts) < 2
        else (
            f'<p class="quiet">The model\'s chat template writes earlier answers otherwise than it asks for them, so '
            f"this conversation is "
            f"learned as {len(parts)} examples, one after another below.</p>"
        )
    )
    shown = "".join(
        f'<div class="tokens" role="region" tabindex="0" aria-label="The tokens of this example">{_parts(part)}</div>'
        for part in parts
    )
    return (
        f'<p role="status">Row {at + 1:,} of {count:,}: {len(tokens):,} tokens, {kinds["trained"]:,} '
        f'trained, {kinds["cut"]:,} cut off.</p>{warning}{several}<ul class="kinds">{legend}</ul>{shown}'
    )


def _parts(tokens: list[Token]) -> str:
    """Runs of tokens of one kind, the middle of a very long example left out."""
    cut = next((place for place, token in enumerate(tokens) if token.kind == "cut"), len(tokens))
    kept = [
        place
        for place in range(len(tokens))
        if place < FIRST or abs(place - cut) <= AROUND or place >= len(tokens) - LAST
    ]
    parts, last = [], -1
    for _, run in groupby(enumerate(kept), key=lambda one: (one[1] - one[0], tokens[one[1]].kind)):
        places = [place for _, place in run]
        if places[0] > last + 1:
            parts.append(f'<span class="gap">{places[0] - last - 1:,} tokens are not shown here</span>')
        last, kind = places[-1], tokens[places[0]].kind
        shown = "".join(_token(tokens[place]) for place in places)
        parts.append(
            f'<span class="part {kind}"><span class="only-read">{KINDS[kind]}: </span><span '
            f'translate="no">{shown}</span></span>'
        )
    return "".join(parts)


def _token(token: Token) -> str:
    kind = "token" if token.text else "begun"
    if token.is_special:
        kind = "special"
    return f'<span class="{kind}" title="id {token.id}">{"".join(map(_visible, token.text))}</span>'


def _visible(character: str) -> str:
    """Blanks stay blanks, so that lines wrap and text can be copied; data.css puts a mark on them."""
    if character in BLANKS:
        return f'<i class="{BLANKS[character]}">{character}</i>'
    return escape(character) if character.isprintable() else f'<i class="unseen">U+{ord(character):04X}</i>'


def jump_words(lengths: Lengths, max_length: int) -> str:
    """Buttons to the rows worth a look; empty where there is none."""
    places = {
        "First that is cut": lengths.cut(max_length),
        "First with nothing to learn": lengths.without_loss(max_length),
    }
    buttons = "".join(
        f'<button type="button" data-at="{found[0]}">{name}</button>' for name, found in places.items() if found
    )
    return f'<div class="jumps" role="group" aria-label="Examples worth a look">{buttons}</div>' if buttons else ""


# ---- all examples


def facts_words(examples: Examples, lengths: Lengths, max_length: int, context: int | None) -> str:
    """Figures, the histogram with its sentence and table, and what to do about the lengths."""
    count, cut, silent = lengths.examined, len(lengths.cut(max_length)), len(lengths.without_loss(max_length))
    figures = {
        "to learn from": len(examples.train),
        "held out": len(examples.held_out),
        "left out": len(examples.left_out),
        "duplicates": examples.duplicates,
        "cut off": cut,
        "nothing to learn": silent,
    }
    tiles = "".join(f"<div><dt>{name}</dt><dd>{value:,}</dd></div>" for name, value in figures.items())
    sampled = (
        ""
        if count == len(examples.train)
        else f" Measured on {count:,} of {len(examples.train):,} examples from all over."
    )
    summary = f"{_summary(lengths, max_length)}{sampled}"
    refused = f'<p class="warning">{escape(translate(NOTHING_TO_LEARN))}</p>' if silent == len(examples.train) else ""
    return (
        f'{refused}<dl class="facts">{tiles}</dl><figure class="chart '
        f'lengths">{_histogram(lengths, max_length, summary)}'
        f"<figcaption>{summary}</figcaption>{_table(lengths, max_length)}</figure>"
        f"{_advice(lengths, max_length, context)}{_odd_words(examples)}{_not_learned_words(examples, lengths)}"
        f"{left_out_words(examples)}"
    )


def _summary(lengths: Lengths, max_length: int) -> str:
    cut, count = len(lengths.cut(max_length)), len(lengths.tokens)
    text = (
        f"Half of the examples have at most {lengths.quantile(0.5):,} tokens, the longest has {max(lengths.tokens):,}."
    )
    return text + (
        f" {cut:,} of {count:,} are longer than {max_length:,} tokens and lose their end."
        if cut
        else f" None is longer than {max_length:,} tokens, so nothing is cut off."
    )


def _histogram(lengths: Lengths, max_length: int, summary: str) -> str:
    """Bars in the order of length; those beyond the line lose their end. The last bar takes all that is longer."""
    bins = lengths.bins(max_length)
    highest, step, ground = max(one.count for one in bins), (WIDTH - LEFT) / len(bins), HEIGHT - BOTTOM
    tall = {one: one.count / highest * (ground - TOP) for one in bins}
    bars = "".join(
        f'<rect class="{"beyond" if one.low > max_length else "within"}" x="{LEFT + i * step + 1:.1f}" '
        f'y="{ground - tall[one]:.1f}" '
        f'width="{step - 2:.1f}" height="{tall[one]:.1f}"><title>{one.low:,} to {one.high:,} tokens: '
        f"{one.count:,}</title></rect>"
        for i, one in enumerate(bins)
    )
    beside = "".join(_line(ground - count / highest * (ground - TOP), count) for count in _round_numbers(highest, 2))
    end = (
        bins[-2].high * len(bins) / (len(bins) - 1) if len(bins) > 1 else bins[0].high
    )  # where the axis would end without longer ones
    below = "".join(
        _below(LEFT + count / end * (WIDTH - LEFT), f"{count:,}")
        for count in _round_numbers(end, 4)
        if count < 0.85 * end
    )
    below += _below(WIDTH, f"{bins[-1].high:,}", "end")
    cut = next((LEFT + i * step for i, one in enumerate(bins) if one.low > max_length), None)
    return (
        f'<svg role="img" aria-label="{summary}" viewBox="0 0 {WIDTH} {HEIGHT}" width="100%">{beside}{bars}{below}'
        f"{_limit(max_length, cut)}</svg>"
    )


def _limit(max_length: int, x: float | None) -> str:
    """The line at the longest example allowed; without a place its words alone, which point to the right."""
    line = "" if x is None else f'<line class="limit" x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{HEIGHT - BOTTOM}"/>'
    words = f"longest allowed: {max_length:,}"
    if x is None:
        words, at, anchor = f"{words} →", float(WIDTH), "end"
    elif x > WIDTH / 2:
        at, anchor = x - 5, "end"
    else:
        at, anchor = x + 5, "start"
    return f'{line}<text class="said" x="{at:.1f}" y="10" text-anchor="{anchor}">{words}</text>'


def _line(y: float, count: int) -> str:
    return (
        f'<line class="grid" x1="{LEFT}" x2="{WIDTH}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{count:,}</text>'
    )


def _below(x: float, text: str, anchor: str = "middle") -> str:
    return f'<text x="{x:.1f}" y="{HEIGHT - 6}" text-anchor="{anchor}">{text}</text>'


def _round_numbers(highest: float, about: int) -> list[int]:
    """0, 500, 1000 for 1011 and about 2: multiples of a round number up to the highest."""
    power = 10 ** math.floor(math.log10(max(1.0, highest / about)))
    step = max(
        1, round(next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= 0.8 * highest / about))
    )
    return list(range(0, math.floor(highest) + 1, step))


def _table(lengths: Lengths, max_length: int) -> str:
    rows = "".join(
        f'<tr><th scope="row">{one.low:,} to {one.high:,}</th><td>{one.count:,}</td></tr>'
        for one in lengths.bins(max_length)
    )
    return (
        '<details><summary>The lengths as a table</summary><table><thead><tr><th scope="col">Tokens</th><th '
        'scope="col">Examples</th>'
        f"</tr></thead><tbody>{rows}</tbody></table></details>"
    )


def _advice(lengths: Lengths, max_length: int, context: int | None) -> str:
    """The length worth taking, as a button where it is another one."""
    length = lengths.suggestion(context)
    whole = lengths.share_whole(length)
    if length == max_length:
        why = f"The model reads at most {context:,} tokens. " if length == context else ""
        return (
            ""
            if whole >= ENOUGH
            else (
                f'<p class="quiet">{why}Only {_percent(whole)} of the examples are whole: split long texts into '
                "several.</p>"
            )
        )
    words = "would keep" if length > max_length else "are enough: they keep"
    return (
        f'<p class="quiet">{length:,} tokens {words} {_percent(whole)} of the examples whole. '
        f'<button type="button" class="link" data-length="{length}">Take {length:,}</button></p>'
    )


def _percent(share: float) -> str:
    """Rounded to neither all nor none of them."""
    return f"{share:.0%}" if share in (0, 1) else f"{max(0.1, min(99.9, 100 * share)):.1f}%"


def _odd_words(examples: Examples) -> str:
    """What was noticed while the data was read."""
    shown = "".join(f"<li>{coded(text)}</li>" for text in examples.warnings)
    return f'<h4>Worth knowing</h4><ul class="warnings">{shown}</ul>' if shown else ""


def _not_learned_words(examples: Examples, lengths: Lengths) -> str:
    """The first rows that the chosen model's template or tokenizer refuses, or of which it leaves an answer out, and
    why.
    """
    if not lengths.not_learned:
        return ""
    named = [(_row_number(place, examples), why) for place, why in list(lengths.not_learned.items())[:REASONS]]
    rows = "".join(f"<li>{escape(f'row {row}: {why}')}</li>" for row, why in named)
    count = f"{len(lengths.not_learned):,} of {lengths.examined:,}"
    return f'<h4>Rows this model cannot learn from, or not wholly: {count}</h4><ul class="warnings">{rows}</ul>'


def _row_number(place: int, examples: Examples) -> int:
    return int(examples.train_rows[place]) if len(examples.train_rows) > place else place + 1


def left_out_words(examples: Examples) -> str:
    """The first rows that were left out, and why."""
    rows = "".join(f"<li>{escape(str(row))}</li>" for row in examples.left_out[:REASONS])
    return f'<h4>Rows left out</h4><ul class="warnings">{rows}</ul>' if rows else ""


def fit_words(unsuitable_tasks: dict[str, str], labels: dict[str, int], is_part: bool = False) -> str:
    """Which tasks the data can teach, why not the others, and which labels there are where they could be learned as
    such.

    `is_part`: only the first of many examples were looked at.
    """
    fits = ", ".join(f"<span>{TASK_NAMES[name]}</span>" for name, reason in unsuitable_tasks.items() if not reason)
    reasons = "".join(
        f"<p><span>Not {TASK_NAMES[name]}</span>: <span>{escape(reason)}</span></p>"
        for name, reason in unsuitable_tasks.items()
        if reason
    )
    shown = ", ".join(
        f'<span translate="no">{escape(label[:30])}</span> <span>({count:,})</span>'
        for label, count in list(labels.items())[:SHOWN_LABELS]
    )
    more = f", <span>and {len(labels) - SHOWN_LABELS} more</span>" if len(labels) > SHOWN_LABELS else ""
    listed = f"<p><span>{len(labels):,} labels:</span> {shown}{more}</p>" if labels else ""
    part = "<p>Counted among the first of many examples.</p>" if is_part else ""
    most, fewest = max(labels.values(), default=0), min(labels.values(), default=1)
    skewed = (
        (
            f"<p>Out of balance: the most frequent label stands in {most:,} rows, the rarest in {fewest:,}. A rare "
            f"one is hardly "
            "learned.</p>"
        )
        if most >= SKEWED * fewest
        else ""
    )
    return (
        f'<details class="fit"><summary><span>Can teach:</span> '
        f"{fits}</summary>{listed}{skewed}{reasons}{part}</details>"
    )

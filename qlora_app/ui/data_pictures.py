"""The data as pictures: an example token by token with its loss mask, and the lengths of all examples as a histogram."""

from html import escape
from itertools import groupby

from ..tasks.microscope import ENOUGH, Lengths, Token
from ..training_data import Examples
from ..training_data.statistics import Repeats
from ..words import count_of

KINDS = {"read": "read only", "trained": "trained", "cut": "cut off"}
FIRST, AROUND, LAST = 900, 150, 150  # tokens shown of a very long example: its start, both sides of the cut, its end
REASONS = 5  # rows left out that are named
WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 380, 150, 34, 22, 18  # of the histogram
BLANKS = {" ": "blank", "\n": "line", "\t": "tab"}


# ---- one example

def mask_words(tokens: list[Token], at: int, count: int) -> str:
    """Example `at` of `count`, how many of its tokens are what, and each of them; a screen reader hears the parts named."""
    kinds = {kind: sum(token.kind == kind for token in tokens) for kind in KINDS}
    steps = "".join(f'<button type="button" data-at="{place % count}" aria-label="{name}">{sign}</button>'
                    for name, sign, place in (("Previous example", "←", at - 1), ("Next example", "→", at + 1)))
    legend = "".join(f'<li><span class="part {kind}">{words}</span> <span>{kinds[kind]:,}</span></li>' for kind, words in KINDS.items())
    return (f'<div class="steps">{steps}<p role="status">Example {at + 1:,} of {count:,}: {len(tokens):,} tokens, {kinds["trained"]:,} '
            f'trained, {kinds["cut"]:,} cut off.</p></div><ul class="kinds">{legend}</ul>'
            f'<div class="tokens" role="region" tabindex="0" aria-label="The tokens of this example">{_parts(tokens)}</div>')


def _parts(tokens: list[Token]) -> str:
    """Runs of tokens of one kind, the middle of a very long example left out."""
    cut = next((place for place, token in enumerate(tokens) if token.kind == "cut"), len(tokens))
    kept = [place for place in range(len(tokens)) if place < FIRST or abs(place - cut) <= AROUND or place >= len(tokens) - LAST]
    parts, last = [], -1
    for _, run in groupby(enumerate(kept), key=lambda one: (one[1] - one[0], tokens[one[1]].kind)):
        places = [place for _, place in run]
        if places[0] > last + 1:
            parts.append(f'<span class="gap">{places[0] - last - 1:,} tokens are not shown here</span>')
        last, kind = places[-1], tokens[places[0]].kind
        said = "".join(_token(tokens[place]) for place in places)
        parts.append(f'<span class="part {kind}"><span class="only-read">{KINDS[kind]}: </span><span translate="no">{said}</span></span>')
    return "".join(parts)


def _token(token: Token) -> str:
    kind = "special" if token.is_special else "token" if token.text else "token begun"
    return f'<span class="{kind}" title="id {token.id}">{"".join(map(_visible, token.text))}</span>'


def _visible(character: str) -> str:
    """Blanks stay blanks, so that lines wrap and text can be copied; style.css puts a mark on them."""
    if character in BLANKS:
        return f'<i class="{BLANKS[character]}">{character}</i>'
    return escape(character) if character.isprintable() else f'<i class="unseen">U+{ord(character):04X}</i>'


def jump_words(lengths: Lengths, max_length: int) -> str:
    """Buttons to the examples worth a look."""
    places = {"Longest": [lengths.longest], "Shortest": [lengths.shortest], "First that is cut": lengths.cut(max_length),
              "First without loss": lengths.without_loss(max_length)}
    buttons = "".join(f'<button type="button" data-at="{found[0]}">{name}</button>' for name, found in places.items() if found)
    return f'<div class="jumps" role="group" aria-label="Examples worth a look">{buttons}</div>'


# ---- all examples

def facts_words(examples: Examples, repeated: Repeats, lengths: Lengths, max_length: int, context: int | None) -> str:
    """Figures, the histogram with its sentence and table, and what to do about the lengths."""
    count, cut, silent = len(lengths.tokens), len(lengths.cut(max_length)), len(lengths.without_loss(max_length))
    figures = {"to learn from": len(examples.train), "held out": len(examples.held_out), "left out": len(examples.left_out),
               "duplicates": repeated.duplicates, "cut off": cut, "without loss": silent}
    tiles = "".join(f"<div><dt>{name}</dt><dd>{value:,}</dd></div>" for name, value in figures.items())
    sampled = "" if count == len(examples.train) else f" Measured on {count:,} of {len(examples.train):,} examples from all over."
    summary = f"{_summary(lengths, max_length)}{sampled}"
    return (f'<dl class="facts">{tiles}</dl><figure class="chart lengths">{_histogram(lengths, max_length, summary)}'
            f"<figcaption>{summary}</figcaption>{_table(lengths, max_length)}</figure>"
            f"{_advice(lengths, max_length, context)}{_repeats_words(repeated)}{left_out_words(examples)}")


def _summary(lengths: Lengths, max_length: int) -> str:
    cut, count = len(lengths.cut(max_length)), len(lengths.tokens)
    text = f"Half of the examples have at most {lengths.quantile(0.5):,} tokens, the longest has {max(lengths.tokens):,}."
    return text + (f" {cut:,} of {count:,} are longer than {max_length:,} tokens and lose their end." if cut
                   else f" None is longer than {max_length:,} tokens, so nothing is cut off.")


def _histogram(lengths: Lengths, max_length: int, summary: str) -> str:
    """Bars in the order of length; those beyond the line lose their end."""
    bins = lengths.bins(max_length)
    highest, step = max(one.count for one in bins), (WIDTH - LEFT) / len(bins)

    def y(count: float) -> float:
        return HEIGHT - BOTTOM - count / highest * (HEIGHT - BOTTOM - TOP)

    bars = "".join(
        f'<rect class="{"beyond" if one.low > max_length else "within"}" x="{LEFT + i * step + 1:.1f}" y="{y(one.count):.1f}" '
        f'width="{step - 2:.1f}" height="{HEIGHT - BOTTOM - y(one.count):.1f}"><title>{one.low:,} to {one.high:,} tokens: {one.count:,}'
        "</title></rect>" for i, one in enumerate(bins) if one.count)
    grid = "".join(f'<line class="grid" x1="{LEFT}" x2="{WIDTH}" y1="{y(count):.1f}" y2="{y(count):.1f}"/>'
                   f'<text x="{LEFT - 6}" y="{y(count) + 4:.1f}" text-anchor="end">{count:,}</text>' for count in (0, highest))
    below = "".join(f'<text x="{LEFT + (i + 1) * step:.1f}" y="{HEIGHT - 6}" text-anchor="{"end" if i == len(bins) - 1 else "middle"}">'
                    f"{bins[i].high:,}</text>" for i in _labelled(len(bins)))
    border = next((i for i, one in enumerate(bins) if one.low > max_length), None)
    x = WIDTH if border is None else LEFT + border * step
    line = "" if border is None else f'<line class="limit" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 6}" y2="{HEIGHT - BOTTOM}"/>'
    said = f"longest allowed: {max_length:,}{' →' if border is None else ''}"
    where = "end" if x > WIDTH / 2 else "start"
    return (f'<svg role="img" aria-label="{summary}" viewBox="0 0 {WIDTH} {HEIGHT}" width="100%">{grid}{bars}{below}{line}'
            f'<text class="said" x="{x:.1f}" y="10" text-anchor="{where}">{said}</text></svg>')


def _labelled(bins: int) -> list[int]:
    """Which bins have their upper border named: four of them, evenly spread, the last one always."""
    return sorted({round((part + 1) * bins / 4) - 1 for part in range(4)} - {-1})


def _table(lengths: Lengths, max_length: int) -> str:
    rows = "".join(f'<tr><th scope="row">{one.low:,} to {one.high:,}</th><td>{one.count:,}</td></tr>' for one in lengths.bins(max_length))
    return ('<details><summary>The lengths as a table</summary><table><thead><tr><th scope="col">Tokens</th><th scope="col">Examples</th>'
            f"</tr></thead><tbody>{rows}</tbody></table></details>")


def _advice(lengths: Lengths, max_length: int, context: int | None) -> str:
    """The length worth taking, as a button where it is another one."""
    length = lengths.suggestion(context)
    whole = lengths.share_whole(length)
    if length == max_length:
        return "" if whole >= ENOUGH else f'<p class="quiet">Only {_percent(whole)} are whole. Split long texts into several examples.</p>'
    words = "would keep" if length > max_length else "are enough: they keep"
    return (f'<p class="quiet">{length:,} tokens {words} {_percent(whole)} of the examples whole. '
            f'<button type="button" class="link" data-length="{length}">Take {length:,}</button></p>')


def _percent(share: float) -> str:
    """Never rounded up to all of them."""
    return "100%" if share == 1 else f"{min(99.9, 100 * share):.1f}%"


def _repeats_words(repeated: Repeats) -> str:
    if not repeated.known:
        return ""
    return (f'<p class="quiet">{count_of(repeated.known, "held-out example")} can be learned by heart, because the same is learned from: '
            "what is measured on them looks too good.</p>")


def left_out_words(examples: Examples) -> str:
    """The first rows that were left out, and why."""
    rows = "".join(f"<li>{escape(str(row))}</li>" for row in examples.left_out[:REASONS])
    return f'<h4>Rows left out</h4><ul class="warnings">{rows}</ul>' if rows else ""


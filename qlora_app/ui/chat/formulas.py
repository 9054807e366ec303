"""LaTeX in what a model said, as MathML, which browsers draw themselves. What cannot be read stays text, and so does
what is no formula, as prices are: `$5 and $6`.

Only elements and attributes named here come out, every text of them escaped; the LaTeX is kept beside it as it was
written, between its marks.
"""

import functools
import re
import unicodedata
from collections import Counter
from html import escape, unescape
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_block import StateBlock
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token

LONGEST = 2000  # characters
DEEPEST = 40  # elements in one another
ELEMENTS = frozenset(
    {"math", "semantics", "annotation", "mrow", "mi", "mn", "mo", "mtext", "mspace", "ms", "mfrac", "msqrt", "mroot"}
    | {"msub", "msup", "msubsup", "munder", "mover", "munderover", "mtable", "mtr", "mtd", "mstyle", "mpadded"}
    | {"mphantom", "mmultiscripts", "mprescripts"}
)
ATTRIBUTES = frozenset(
    {"stretchy", "fence", "form", "separator", "accent", "accentunder", "largeop", "movablelimits", "symmetric"}
    | {"mathvariant", "linethickness", "columnalign", "displaystyle", "scriptlevel", "lspace", "rspace", "width"}
    | {"minsize", "maxsize"}
)
_VALUE = re.compile(r"[\w.%+ -]{1,40}", re.ASCII)
_BLOCKS = {"$$": "$$", r"\[": r"\]"}
_INLINE = _BLOCKS | {r"\(": r"\)", "$": "$"}
_SENTENCE_ENDS = ".,;:"
_COMMANDS = re.compile(r"\\(?:begin|end)\{\w+\*?\}(?:\{[clr| ]*\})?|\\[A-Za-z]+|\\.")
_A_WORD = re.compile(r"\s[^\W\d_]{2,}\s")
_OF_FORMULAS = re.compile(r"[A-Za-z\\^_=+<>]")


def with_formulas(parser: MarkdownIt) -> None:
    """Teach a parser to read them."""
    parser.inline.ruler.after("text", "formula", _inline)
    parser.block.ruler.before("fence", "formula_block", _block, {"alt": ["paragraph", "blockquote", "list"]})
    parser.add_render_rule("formula", _drawn)


@functools.lru_cache(maxsize=2000)  # an answer that grows is drawn again and again
def mathml(source: str, is_block: bool = False) -> str | None:
    """MathML of LaTeX between its marks; None where it cannot be read whole."""
    mark = next(mark for mark in _INLINE if source.startswith(mark))
    latex = source[len(mark) : -len(_INLINE[mark])].strip()
    if not latex or len(source) > LONGEST or (mark == "$" and not _is_meant(latex)):
        return None
    drawn = _converted(latex, is_block)
    if drawn is None or not _says_all(drawn, latex):
        return None
    display = ' display="block"' if is_block else ""
    kept = f'<annotation encoding="application/x-tex">{escape(source)}</annotation>'
    return f"<math{display}><semantics>{drawn}{kept}</semantics></math>"


def _is_meant(latex: str) -> bool:
    """Is what stands between two dollars a formula, and no text between two prices?"""
    is_text = "\\" not in latex and _A_WORD.search(latex) is not None
    return not is_text and _OF_FORMULAS.search(latex) is not None


def _converted(latex: str, is_block: bool) -> str | None:
    from latex2mathml.converter import convert_to_element

    known = re.sub(r"\{(aligned|split|gathered)\}", "{align*}", latex)
    try:
        element = convert_to_element(known, display="block" if is_block else "inline")
        return "".join(_element(child, 0) for child in element)
    except Exception:  # the library has many errors of its own, and some that are none: whatever it is stays text
        return None


def _element(element: Any, depth: int) -> str:
    """HTML of an element of ElementTree. Raises ValueError for what may not be drawn."""
    name = element.tag
    if name not in ELEMENTS or depth > DEEPEST:
        raise ValueError(name)
    said = {key: value for key, value in element.attrib.items() if key in ATTRIBUTES and _VALUE.fullmatch(value)}
    attributes = "".join(f' {key}="{value}"' for key, value in said.items())
    inside = escape(unescape(element.text or "")) + "".join(_element(child, depth + 1) for child in element)
    return f"<{name}{attributes}>{inside}</{name}>"


def _says_all(drawn: str, latex: str) -> bool:
    """Is every letter and digit there that is no command's? And was every command known?"""
    shown = unescape(re.sub(r"<[^>]*>", "", drawn))
    if "\\" in shown or "&" in shown:
        return False
    missing = _letters(_COMMANDS.sub(" ", latex)) - _letters(unicodedata.normalize("NFKC", shown))
    return not missing


def _letters(text: str) -> Counter[str]:
    return Counter(character for character in text if character.isalnum())


# ---- rules of the parser


def _inline(state: StateInline, silent: bool) -> bool:
    found = _at(state.src, state.pos, state.posMax)
    if found is None:
        return False
    source, is_block = found
    drawn = mathml(source, is_block)
    if drawn is None:
        return False
    if not silent:
        state.push("formula", "math", 0).content = drawn
    state.pos += len(source)
    return True


def _at(text: str, start: int, end: int) -> tuple[str, bool] | None:
    """The formula that begins there, with its marks, and whether it stands in a line of its own."""
    mark = next((mark for mark in _INLINE if text.startswith(mark, start)), None)
    if mark is None:
        return None
    close = text.find(_INLINE[mark], start + len(mark), min(end, start + LONGEST))
    if close < 0:
        return None
    after = close + len(_INLINE[mark])
    if mark == "$" and not _are_marks(text, start, close):
        return None
    return text[start:after], mark in _BLOCKS


def _are_marks(text: str, start: int, close: int) -> bool:
    """Two dollars are marks where they touch what is between them, and no letter or digit outside."""
    outside = text[start - 1 : start] + text[close + 1 : close + 2]
    inside = text[start + 1] + text[close - 1]
    return (
        not any(character.isalnum() or character in "$\\" for character in outside)
        and not inside[0].isspace()
        and (not inside[1].isspace())
    )


def _block(state: StateBlock, first: int, end: int, silent: bool) -> bool:
    """A formula of several lines, which may look like a list or a heading to other rules."""
    if state.is_code_block(first) or (found := _in_lines(state, first, end)) is None:
        return False
    source, after, last = found
    if after not in ("", *_SENTENCE_ENDS) or (drawn := mathml(source, True)) is None:
        return False
    if silent:
        return True
    state.line = last + 1
    state.push("paragraph_open", "p", 1)
    state.push("formula", "math", 0).content = drawn + escape(after)
    state.push("paragraph_close", "p", -1)
    return True


def _in_lines(state: StateBlock, first: int, end: int) -> tuple[str, str, int] | None:
    """(the formula that a line begins with, what follows it in its last line, that line), without what stands before
    each line, as in a quotation.
    """
    mark = state.src[state.bMarks[first] + state.tShift[first] : state.eMarks[first]][:2]
    if mark not in _BLOCKS:
        return None
    begun, source, close = state.bMarks[first], mark, _BLOCKS[mark]
    if state.src.find(close, begun, begun + LONGEST) < 0:  # of many that are not closed none is looked at for long
        return None
    for line in range(first, end):
        text = state.getLines(line, line + 1, state.blkIndent, True)
        if line == first:
            text = text.lstrip().removeprefix(mark)
        before, is_closed, after = text.partition(close)
        source += before + is_closed
        if is_closed:
            return source, after.strip(), line
        if state.eMarks[line] - begun > LONGEST:
            break
    return None


def _drawn(renderer: RendererHTML, tokens: list[Token], at: int, options: object, env: object) -> str:
    return tokens[at].content

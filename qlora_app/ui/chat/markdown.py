"""What a model said, as HTML: escaped first, then the Markdown of it. Nothing that was said is lost on the way.

Markdown takes some characters for marks that people and models mean as they stand: HTML, entities, the stars of a
product, two underscores around a name, backslashes. Those rules are off. Links and pictures stay as they
were typed too: a click on what a model made up leads nowhere, and no other machine is asked for anything.
"""

import functools
import re
from html import escape, unescape

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_inline import StateInline
from markdown_it.rules_inline.state_inline import Delimiter
from markdown_it.token import Token

from . import formulas

ELEMENTS = frozenset(
    {"p", "br", "hr", "div", "span", "strong", "em", "s", "pre", "code", "blockquote", "ul", "ol", "li", "h3", "h4"}
    | {"h5", "h6", "table", "thead", "tbody", "tr", "th", "td", "details", "summary"}
    | formulas.ELEMENTS
)
AS_TYPED = ("entity", "escape", "link", "image", "autolink", "html_inline", "reference", "html_block", "lheading")
THOUGHT = re.compile(r"\A\s*<think>(.*?)(?:</think>|\Z)(.*)\Z", re.DOTALL)
CONTROLS = {code: 0x2400 + code for code in range(32) if chr(code) not in "\t\n"} | {0x7F: 0x2421}
TAG = re.compile(r"<[^>]*>")
FORMULA = re.compile(r"<math[ >].*?<annotation[^>]*>(.*?)</annotation></semantics></math>", re.DOTALL)
WORDS = re.compile(r"[\w<&$%@=/\\{}()\"']")  # what must be there again; marks of Markdown are others
LARGEST_HEADING = 3
REASONING = "Reasoning"


def rendered(text: str) -> str:
    """HTML of what was said, in which only ELEMENTS occur. Reasoning in front of an answer is a fold."""
    text = readable(text)
    thought = THOUGHT.match(text)
    if not thought:
        return _markdown(text)
    inside, after = thought[1].strip(), thought[2].strip()
    fold = f'<details class="thought"><summary>{REASONING}</summary><div>{_markdown(inside)}</div></details>'
    return fold + _markdown(after)


def readable(text: str) -> str:
    """With a sign for each character that has none (the escape of a colour code, say)."""
    lines = text.replace("\r\n", "\n").encode("utf-8", "replace").decode("utf-8")
    return lines.translate(CONTROLS)


def text_of(html: str) -> str:
    """What a reader sees of it, formulas as they were written."""
    return unescape(TAG.sub("", FORMULA.sub(r"\1", html)))


def _markdown(text: str) -> str:
    html = _parser().render(text)
    if WORDS.findall(text) == WORDS.findall(text_of(html)):
        return html
    return f'<p class="as-typed">{escape(text)}</p>'  # a cell too many in a table's row, say


@functools.cache
def _parser() -> MarkdownIt:
    parser = MarkdownIt("js-default", {"html": False, "linkify": False, "typographer": False, "breaks": True})
    parser.disable(AS_TYPED)
    parser.inline.ruler.at("emphasis", _stars)
    for name in ("fence", "code_block"):
        parser.add_render_rule(name, _code)
    for name in ("heading_open", "heading_close"):
        parser.add_render_rule(name, _heading)
    parser.add_render_rule("list_item_open", _item)
    formulas.with_formulas(parser)
    return parser


def _stars(state: StateInline, silent: bool) -> bool:
    """Emphasis by stars around words: none within one (2*3*4), and none by underscores (__init__)."""
    if silent or state.src[state.pos] != "*":
        return False
    run = state.scanDelims(state.pos, False)
    for _ in range(run.length):
        state.push("text", "", 0).content = "*"
        state.delimiters.append(
            Delimiter(ord("*"), run.length, len(state.tokens) - 1, -1, open=run.can_open, close=run.can_close)
        )
    state.pos += run.length
    return True


def _code(renderer: RendererHTML, tokens: list[Token], at: int, options: object, env: object) -> str:
    """A block of code under what was said of it, usually its language."""
    said, code = tokens[at].info.strip(), tokens[at].content
    label = f'<span class="lang">{escape(said)}</span>' if said else ""
    return f'<div class="code">{label}<pre tabindex="0"><code>{escape(code)}</code></pre></div>\n'


def _heading(renderer: RendererHTML, tokens: list[Token], at: int, options: object, env: object) -> str:
    """Below the headings of the page."""
    level = min(6, int(tokens[at].tag[1]) + LARGEST_HEADING - 1)
    slash = "/" if tokens[at].nesting < 0 else ""
    return f"<{slash}h{level}>"


def _item(renderer: RendererHTML, tokens: list[Token], at: int, options: object, env: object) -> str:
    """With its number as it was typed: HTML would count for itself."""
    number = f"{tokens[at].info}{tokens[at].markup}" if tokens[at].info else ""
    return f'<li><span class="number">{escape(number)}</span> ' if number else "<li>"

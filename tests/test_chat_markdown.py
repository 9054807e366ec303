"""What is said in the chat is shown as it was said: escaped, then Markdown."""

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qlora_app.ui.chat import formulas
from qlora_app.ui.chat.markdown import ELEMENTS, REASONING, WORDS, readable, rendered, text_of

TAG = re.compile(r"<(/?)([a-z][a-z0-9]*)((?: [^<>]*)?)>")
ATTRIBUTE = re.compile(r' (?:class="[a-z-]+"|tabindex="0"|style="text-align:(?:left|right|center)"|start="\d+")')
OF_FORMULA = re.compile(
    rf"(<(?:{'|'.join(formulas.ELEMENTS)}))"
    rf"(?: (?:{'|'.join(formulas.ATTRIBUTES)}|display|encoding)=\"[\w.%+ /-]*\")+(?=>)"
)
PIECES = [
    "<div class='a'>", "</div>", "<script>alert(1)</script>", "<think>", "</think>", "<svg/onload=a()>", "a<b and c>d",
    "&lt;", "&amp;", "&#60;", "${a}", "{{a}}", "$x^2$", "```", "```python", "~~~", "`", "*", "**", "_", "__init__", "#",
    "- ", "1. ", "7) ", "> ", "|", "|-|-|", "\n", "\n\n", "    ", "\\", "[a](javascript:alert(1))", "[a]: /url",
    "$$", "$", "\\(x", "\\)", "\\[", "\\]", "\\frac{1}{2}", "$x_1$", "\\text{<b>}", "{", "}", "\\href{javascript:a}{b}",
    "\\style{color:red}{b}", "^2", "$\\text{<img src=x onerror=a()>}$", "\\begin{cases}a&b\\end{cases}",
    "![a](https://example.org/a.png)", "<https://example.org>", "https://example.org",
    "data:text/html,<b>", "שלום", "مرحبا",
    "\x1b[31m", "\x00", "\r", "\ud800", "word", "x" * 300, "5", "==", "---", "~~", " ",
]  # fmt: skip
TEXTS = st.one_of(st.text(), st.lists(st.sampled_from(PIECES), max_size=25).map("".join))


def words(text):
    """Every character that is none of Markdown's marks."""
    return WORDS.findall(text)


@settings(max_examples=300)
@given(TEXTS)
def test_what_was_said_is_there_and_nothing_else_is_an_element(text):
    html = rendered(text)
    shown = text_of(html)
    folded = html.startswith("<details")
    said = readable(text)
    if folded:
        said = said.replace("<think>", "", 1).replace("</think>", "", 1)
    assert words(shown.removeprefix(REASONING) if folded else shown) == words(said)
    rest = TAG.sub("", html)
    html = OF_FORMULA.sub(r"\1", html)
    assert "<" not in rest, "an angle that is no element is escaped"
    for _, name, attributes in TAG.findall(html):
        assert name in ELEMENTS and not ATTRIBUTE.sub("", attributes), (name, attributes)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Fix: <div class='a'>x</div> if a<b and c>d", "Fix: <div class='a'>x</div> if a<b and c>d"),
        ("2*3*4 = 24, __init__ and \\(x\\)", "2*3*4 = 24, __init__ and \\(x\\)"),
        ("&lt;b&gt; &amp;amp;", "&lt;b&gt; &amp;amp;"),
        ("![a](https://x.org/a.png) [b](javascript:alert(1))", "![a](https://x.org/a.png) [b](javascript:alert(1))"),
        ("\x1b[31mred", "␛[31mred"),
        ("3. three\n3. again", "3. three\n3. again"),
        ("a\nb", "a\nb"),
    ],
)  # fmt: skip
def test_as_typed(text, shown):
    assert re.sub(r"\n+", "\n", text_of(rendered(text))).strip() == shown


def test_markdown_is_drawn():
    assert rendered("**bold** and `a<b`") == "<p><strong>bold</strong> and <code>a&lt;b</code></p>\n"
    unclosed = rendered("Look:\n```python\nif a<b:")
    assert '<span class="lang">python</span><pre tabindex="0"><code>if a&lt;b:' in unclosed
    assert "<th>a</th>" in rendered("|a|b|\n|-|-|\n|1|2|")


@pytest.mark.parametrize(
    ("text", "elements"),
    [
        ("Then $x^2$ is", "<msup><mi>x</mi><mn>2</mn></msup>"),
        (r"So \(a+b\), or", "<mi>a</mi><mo>+</mo><mi>b</mi>"),
        ("Sum:\n$$\na\n= b\n- c\n$$\nEnd", "<mi>a</mi><mo>=</mo><mi>b</mi><mo>\N{MINUS SIGN}</mo>"),
        ("> \\[\n> \\frac{1}{2}\n> \\].", "<mfrac><mrow><mn>1</mn></mrow><mrow><mn>2</mn></mrow></mfrac>"),
        ("|a|\n|-|\n|$y_1$|", "<msub><mi>y</mi><mn>1</mn></msub>"),
        (r"$$\begin{aligned} a &= b \\ c &= d \end{aligned}$$", "<mtable"),
    ],
)
def test_formulas_are_drawn_and_stay_as_they_were_written(text, elements):
    html = rendered(text)
    assert elements in html and html.count("<math") == 1
    assert "application/x-tex" in html and words(text_of(html).replace("|-|", "")) == words(text.replace("> ", ""))


@pytest.mark.parametrize(
    "text",
    [
        "It costs $5 and $6.", "$5-$6", "from 5$ to 6$", "US$5 or US$6", "$5 per unit (in $)", "$HOME/$PATH is $1",
        "echo $A $B", r"$\foo{a}$", r"$\href{javascript:alert(1)}{x}$", r"$\color{red}{x}$", "$x_$", r"\(\frac{1}",
        "$$x", "$a & b$", "a or b $", "`$x$`",
    ],
)  # fmt: skip
def test_what_is_no_formula_or_cannot_be_read_whole_stays_text(text):
    html = rendered(text)
    assert "<math" not in html and text_of(html).strip() == text.strip("`")


def test_reasoning_is_a_fold_while_it_is_written_and_afterwards():
    for text in ("<think>\nHens *have* two.", "<think>\nHens *have* two.\n</think>\n\nTwo."):
        assert rendered(text).startswith(f'<details class="thought"><summary>{REASONING}</summary><div><p>Hens <em>')
    assert rendered(text).endswith("</details><p>Two.</p>\n")


@pytest.mark.parametrize(
    "piece",
    ["*", "**a", "[", "`", "<", "> ", "- ", "|", "_a*", "~~", "&", "1. a\n", "#",
     "$", "$$", "\\[\n", "$$\n", "$a", "\\(x\\)", "{$", "$x_{"],
)  # fmt: skip
def test_no_text_takes_long(piece):
    began = time.process_time()
    rendered(piece * (20_000 // len(piece)))
    assert time.process_time() - began < 1.5

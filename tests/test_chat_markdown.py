"""What is said in the chat is shown as it was said: escaped, then Markdown."""

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qlora_app.ui.chat.markdown import ELEMENTS, REASONING, WORDS, readable, rendered, text_of

TAG = re.compile(r"<(/?)([a-z][a-z0-9]*)((?: [^<>]*)?)>")
ATTRIBUTE = re.compile(r' (?:class="[a-z-]+"|tabindex="0"|style="text-align:(?:left|right|center)"|start="\d+")')
PIECES = [
    "<div class='a'>", "</div>", "<script>alert(1)</script>", "<think>", "</think>", "<svg/onload=a()>", "a<b and c>d",
    "&lt;", "&amp;", "&#60;", "${a}", "{{a}}", "$x^2$", "```", "```python", "~~~", "`", "*", "**", "_", "__init__", "#",
    "- ", "1. ", "7) ", "> ", "|", "|-|-|", "\n", "\n\n", "    ", "\\", "[a](javascript:alert(1))", "[a]: /url",
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


def test_reasoning_is_a_fold_while_it_is_written_and_afterwards():
    for text in ("<think>\nHens *have* two.", "<think>\nHens *have* two.\n</think>\n\nTwo."):
        assert rendered(text).startswith(f'<details class="thought"><summary>{REASONING}</summary><div><p>Hens <em>')
    assert rendered(text).endswith("</details><p>Two.</p>\n")


@pytest.mark.parametrize("piece", ["*", "**a", "[", "`", "<", "> ", "- ", "|", "_a*", "~~", "&", "1. a\n", "#"])
def test_no_text_takes_long(piece):
    began = time.process_time()
    rendered(piece * (20_000 // len(piece)))
    assert time.process_time() - began < 1.5

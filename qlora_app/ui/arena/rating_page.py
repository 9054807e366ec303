"""What a rater sees: a question, two answers without names, four choices. It tells nothing else, and neither does what
its script is sent.
"""

import functools
from html import escape
from pathlib import Path

from ..chat.markdown import THOUGHT, rendered
from ..colours import TOKENS
from ..language import translated

NOT_KEPT = {"cache-control": "no-store"}
ALLOWED = {
    "default-src": "'none'",
    "style-src": "'unsafe-inline'",
    "img-src": "data:",
    "connect-src": "'self'",
    "form-action": "'self'",
    "base-uri": "'none'",
}
_UI = Path(__file__).parent.parent
BUTTONS = (  # choice, key, words
    ("left", "1", "A is better"),
    ("right", "2", "B is better"),
    ("equal", "3", "Equally good"),
    ("both_bad", "4", "Both bad"),
)


@functools.lru_cache(maxsize=1)
def _dress() -> tuple[str, str, str]:
    """(style, script that chooses light or dark, script of the page)"""
    style = (_UI / "style" / "arena.css").read_text(encoding="utf-8")
    look = (_UI / "frame" / "look.js").read_text(encoding="utf-8")
    return f"{TOKENS}{style}", look, (_UI / "arena" / "rate.js").read_text(encoding="utf-8")


def careful(nonce: str) -> dict[str, str]:
    """Headers of a page: it runs its own scripts, asks nobody else, and is not kept."""
    allowed = {"script-src": f"'nonce-{nonce}'"} | ALLOWED
    return NOT_KEPT | {"content-security-policy": "; ".join(map(" ".join, allowed.items()))}


def shown(text: str) -> str:
    """An answer as HTML, without its reasoning: that some models reason would tell them from those that do not."""
    thought = THOUGHT.match(text.strip())
    after = thought[2].strip() if thought else text.strip()
    return rendered(after or text.strip())


def rating_page(language: str, nonce: str) -> str:
    """The whole page, the same for every rater and every arena. nonce: of its scripts."""
    style, look, script = _dress()
    buttons = "".join(
        f'<button type="button" data-choice="{choice}"><kbd>{key}</kbd> <span>{words}</span></button>'
        for choice, key, words in BUTTONS
    )
    sides = "".join(
        f'<article aria-label="Answer {name}"><h2>Answer {name}</h2><div id="{side}" class="said" translate="no"></div>'
        "</article>"
        for name, side in (("A", "left"), ("B", "right"))
    )
    body = f"""<header><h1>Which answer is better?</h1><p id="done"></p></header>
<main id="pair" hidden><section id="question" class="said" aria-label="Question" translate="no"></section>
<div class="sides">{sides}</div>
<label for="comment">Comment, if you have one</label><textarea id="comment" rows="2" maxlength="2000"></textarea></main>
<p id="said" role="status"></p>
<footer id="choices" hidden>{buttons}<button type="button" id="skip"><kbd>0</kbd> <span>Skip</span></button></footer>
<p hidden id="word-loading">One moment …</p>
<p hidden id="word-finished">You have judged every pair. Thank you!</p>
<p hidden id="word-offline">The server does not answer. Your choice is not lost: try again in a moment.</p>"""
    return _document(translated(body, language), language, "Which answer is better?", style, (look, script), nonce)


def refused_page(language: str, sentence: str, nonce: str) -> str:
    """In place of the page. sentence: in that language."""
    style, look, _ = _dress()
    body = f'<header><h1>Guanaco Workshop</h1></header><p id="said" role="alert">{escape(sentence)}</p>'
    return _document(body, language, "Guanaco Workshop", style, (look,), nonce)


def document(body: str, language: str, title: str, scripts: tuple[str, ...], nonce: str) -> str:
    """A page in the dress of these."""
    style, look, _ = _dress()
    return _document(body, language, title, style, (look, *scripts), nonce)


def _document(body: str, language: str, title: str, style: str, scripts: tuple[str, ...], nonce: str) -> str:
    first, *others = [f'<script nonce="{nonce}">{script}</script>' for script in scripts]
    return f"""<!doctype html><html lang="{language}"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="robots" content="noindex">
<link rel="icon" href="data:,">{first}<style>{style}</style></head>
<body>{body}{"".join(others)}</body></html>"""

"""The page before a login. It is whole in itself: a form that needs no script, and the colours of the page."""

import functools
from html import escape
from pathlib import Path

from ..colours import TOKENS
from ..language import spoken, translated

TITLE = "Guanaco Workshop"
KEPT_QUERY = "query"  # the field that keeps what stood behind the address
WRONG = "That user name or password is wrong."
WITH_HUB = "Log in with Hugging Face"
_UI = Path(__file__).parent.parent


@functools.lru_cache(maxsize=1)
def _dress() -> tuple[str, str]:
    """(style, script)"""
    style = (_UI / "style" / "login.css").read_text(encoding="utf-8")
    return f"{TOKENS}{style}", (_UI / "frame" / "look.js").read_text(encoding="utf-8")


def login_page(language: str, wrong: str = "", user: str = "", query: str = "", has_hub: bool = False) -> str:
    """As HTML. `wrong`: the sentence about the last try. `user`: the name that was given then. `query`: what stood
    behind the address that somebody wanted, without the mark. `has_hub`: may one log in with Hugging Face too?
    """
    hub = f'<p class="hub"><a href="login/huggingface">{WITH_HUB}</a></p>' if has_hub else ""
    style, script = _dress()
    said = f'<p class="wrong" role="alert" id="wrong">{escape(wrong)}</p>' if wrong else ""
    marks = ' aria-invalid="true" aria-describedby="wrong"' if wrong else ""
    first, second = ("", " autofocus") if user else (" autofocus", "")
    body = f"""<main><h1 translate="no">{TITLE}</h1>
<p>Fine-tune a language model on your own data, watch it learn, and talk to it.</p>
<form method="post" action="login">{said}
<label for="user">User name</label>
<input id="user" name="username" autocomplete="username" autocapitalize="none" spellcheck="false" required{first}{marks}
 value="{escape(user)}">
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password" required{second}{marks}>
<input type="hidden" name="{KEPT_QUERY}" value="{escape(query)}">
<button type="submit">Log in</button></form>{hub}</main>"""
    known = language if spoken("Log in", language) != "Log in" else "en"
    return f"""<!doctype html><html lang="{known}"><head><meta charset="utf-8"><title>{TITLE}</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="robots" content="noindex">
<link rel="icon" href="data:,"><script>{script}</script><style>{style}</style></head>
<body>{translated(body, language)}</body></html>"""

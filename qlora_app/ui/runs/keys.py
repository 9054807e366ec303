"""The keys that programs show, as they stand on the page "Use it": made there and shown this once, listed, revoked."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import gradio as gr

from ...errors import UserError
from ...serving.keys import LONGEST_NAME, ApiKey, ApiKeys
from ..context import AppContext
from ..guard import in_words, owners, told_owners
from ..language import problem_in, texts_in
from ..theme import plain
from ..translate import visitors_language

FOLDER = Path(__file__).parent
MOST_A_MINUTE = 100_000
# A text that stands on the page is one line here: so it is found in a language's list.
OPEN = (
    "No key has been made: programs of this machine ask without one, others never. As soon as there is one, every "
    "program shows one."
)
TEMPLATE = f"""<section class="keys"><h3>Keys of programs</h3>
<p class="quiet explains" hidden>{OPEN}</p>
<p class="quiet needed" hidden>No key has been made: programs are answered as soon as there is one.</p>
<p class="quiet closed" hidden>All keys were revoked: no program is answered until there is another one.</p>
<ul class="made"></ul>
<form class="making"><input type="text" maxlength="{LONGEST_NAME}" aria-label="Name of the program"
placeholder="Name of the program" autocomplete="off"><input type="number" min="0" max="{MOST_A_MINUTE}" step="1"
aria-label="Requests a minute" placeholder="Requests a minute"><button type="submit">Make a key</button></form>
<p class="warning" role="alert" hidden></p>
<div class="fresh" role="status" hidden><p>Copy it now. It is not shown again.</p><div class="code deeds"><button
type="button" data-do="copy">Copy</button><pre tabindex="0" translate="no"></pre></div></div></section>"""


class KeysCard:
    """Its component, and what its script asks. For whose page it is: a member's keys open their own home alone."""

    def __init__(self, page: AppContext) -> None:
        self.page = page
        self._keys = ApiKeys(page.settings.home)

    def build(self) -> gr.HTML:
        script = "".join((FOLDER / name).read_text(encoding="utf-8") for name in ("words.js", "keys.js"))
        texts = json.dumps(texts_in(TEMPLATE + script), ensure_ascii=False)
        return plain(
            "",
            html_template=TEMPLATE,
            js_on_load=f"const TEXTS = {texts};\n{script}",
            server_functions=[told_owners(self.list_keys), owners(self.make_key), owners(self.revoke_key)],
            visible=self.page.may_change,
            elem_id="keys",
        )

    def list_keys(self, _: Any) -> dict[str, Any]:
        """{"keys": [{name, begins, made, perMinute}], oldest first, "areAskedFor", "isOpen": also without one}"""
        is_open = self.page.settings.is_local and not self.page.has_login and not self._keys.are_asked_for
        rows = [_row(key) for key in self._keys.all()]
        return {"keys": rows, "areAskedFor": self._keys.are_asked_for, "isOpen": is_open}

    def make_key(self, asked: Any) -> dict[str, Any]:
        """{"name", "per_minute"} -> the list with "key", which is told this once; or "problem"."""
        try:
            made = {"key": self._keys.make(_text(asked, "name"), _number(asked, "per_minute"))}
        except UserError as error:
            made = _refused(error)
        return made | self.list_keys(None)

    def revoke_key(self, asked: Any) -> dict[str, Any]:
        """{"name"} -> the list without it; or "problem"."""
        try:
            self._keys.revoke(_text(asked, "name"))
        except UserError as error:
            return _refused(error) | self.list_keys(None)
        return self.list_keys(None)


def _refused(error: UserError) -> dict[str, Any]:
    return {"problem": problem_in(in_words(error), visitors_language())}


def _row(key: ApiKey) -> dict[str, Any]:
    made = datetime.fromtimestamp(key.made)
    return {"name": key.name, "begins": key.begins, "made": f"{made:%Y-%m-%d}", "perMinute": key.per_minute}


def _text(asked: Any, name: str) -> str:
    value = asked.get(name) if isinstance(asked, dict) else None
    return value if isinstance(value, str) else ""


def _number(asked: Any, name: str) -> int:
    value = asked.get(name) if isinstance(asked, dict) else None
    return min(max(value, 0), MOST_A_MINUTE) if isinstance(value, int) else 0

"""The component of the chat: who is talked to, the conversation, and the box for the next message. Its scripts lie
beside it.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from ..guard import asked_by_everyone
from ..language import texts_in
from ..runs import run_card
from ..theme import plain
from .heads import Heads, who_function
from .history import LONGEST_ANSWER, LONGEST_MESSAGE
from .markdown import rendered
from .partners import LISTED, MOST_LISTED, Partners

FOLDER = Path(__file__).parent
SCRIPTS = (
    "conversation",
    "deeds",
    "shelf",
    "far_shelf",
    "drafts",
    "why",
    "blind",
    "rows",
    "menus",
    "heads",
    "composer",
    "picture",
    "acts",
    "judging",
    "room",
    "chats",
)
DRAWN_AT_ONCE = 40  # answers
MOST_DRAWN = 400_000  # characters of them
HINT = "The base model and your adapter answer the same message, side by side."
IN_BROWSER, UNDER_LOGIN = (
    "The conversation is kept in this browser only.",
    "The conversation is kept under your login, also for your other browsers.",
)
SKELETON = f"""
<div class="room">
  <header class="partners">
    <div class="menu who"><button type="button" class="open" aria-expanded="false" aria-label="Run">
      <b translate="no"></b><span class="words" translate="no"></span></button>
      <div class="list" hidden><input type="search" role="combobox" aria-expanded="true" aria-label="Find a run"
        placeholder="Name, model, setting" autocomplete="off"><div role="listbox" aria-label="Runs"></div></div></div>
    <span class="right">
    <button type="button" class="blind" aria-pressed="false" hidden title="Judge first, then see who answered"
      >Blind</button>
    <button type="button" class="how" aria-expanded="false" aria-controls="how-asked" aria-label="How it is asked"><span
      class="wide">Settings</span><span class="narrow" aria-hidden="true">⚙</span></button>
    <div class="menu chats"><button type="button" class="open" aria-expanded="false">Chats</button>
      <div class="list" hidden></div></div>
    <button type="button" class="new">New</button>
    <div class="menu more" hidden><button type="button" class="open" aria-expanded="false"
      aria-label="This conversation">⋯</button><div class="list" hidden>
      <button type="button" data-do="undo">Take back the last question</button>
      <button type="button" data-do="copy-all">Copy all of it</button>
      <button type="button" data-do="picture">Save as a picture</button>
      <button type="button" data-do="export">Export as JSONL</button>
      <button type="button" data-do="remove-talk">Delete the conversation</button></div></div></span>
  </header>
  <div class="answering" role="group" aria-label="Columns"></div>
  <div class="talk" tabindex="0" role="region" aria-label="Conversation"><div class="exchanges"></div>
    <div class="hint"><h2>Ask both</h2><p>{HINT}</p><p>{IN_BROWSER}</p></div></div>
  <footer class="foot">
    <div id="chips" class="chips" role="group" aria-label="Example questions"></div>
    <ul class="queued" hidden aria-label="Waiting messages"></ul>
    <form class="asking" id="ask"><textarea rows="1" maxlength="{LONGEST_MESSAGE}" aria-label="Message"
      placeholder="Ask both"></textarea><button type="submit" id="send">Ask</button><button type="button" id="stop-chat"
      hidden>Stop</button></form>
    <p class="quiet note fill"></p>
    <p class="note departed" role="status"></p>
    <p class="quiet note gone" role="status"></p>
    <p class="quiet note votes" role="status"></p>
    <p class="quiet note link" role="status"></p>
    <p class="quiet note unkept" role="status"></p>
    <p class="quiet note" id="chat-note" role="status"></p>
  </footer>
  <p class="only-read spoken" role="status" aria-live="polite"></p>
</div>"""
# A room that nobody has used with a run says none, and then takes the newest. It was built after the other inputs, so
# it is the last one.
UNUSED = """(...given) => { if (!document.querySelector('.room')?.dataset.used) given[given.length - 1] = '';
  return given; }"""
# The tab's children are put on the page when it is first shown; a room that comes later reads the address itself.
SHOWN = """() => { if (!window.guanacoReady || !guanacoIsOn('chat')) return;
  const q = new URLSearchParams(location.search);
  if (q.get('tab') !== 'chat') { q.set('tab', 'chat');
    ['run', 'show', 'compare', 'evaluation'].forEach(name => q.delete(name)); history.replaceState(null, '', '?' + q); }
  document.dispatchEvent(new Event('chat-shown')); }"""


def over() -> str:
    """Script: a question has been answered, or cannot be."""
    return "() => { document.dispatchEvent(new Event('chat-over')); }"


def room(partners: Partners, heads: Heads, functions: Sequence[Any], elem_id: str) -> gr.HTML:
    """Its value is the id of the run that is talked to. Its properties are JSON: `partner` is that run, `news` what is
    new of the question that is being answered, `how` what that one is asked with, `why` the reasons for an answer;
    `note` is a sentence about that, `link` one about the address that led here.
    functions: what its script calls beside those that everyone may.
    """
    may = " ".join(function.__name__ for function in functions)
    files = [run_card.FOLDER / "words.js", *(FOLDER / f"{name}.js" for name in SCRIPTS)]
    script = "\n".join(file.read_text(encoding="utf-8") for file in files)
    skeleton = SKELETON.replace('class="room"', f'class="room" data-may="{may}"')
    if "kept" in may.split():
        skeleton = skeleton.replace(IN_BROWSER, UNDER_LOGIN)
    texts = json.dumps(texts_in(skeleton + script), ensure_ascii=False)
    return plain(
        "",
        html_template=skeleton,
        js_on_load=f"const TEXTS = {texts};\n{script}",
        server_functions=[find_function(partners), who_function(heads), draw, *functions],
        elem_id=elem_id,
        partner="",
        news="",
        how="",
        why="",
        note="",
        link="",
    )


def find_function(partners: Partners) -> Any:
    """`find` as a plain function: Gradio calls it by that name from the browser."""

    @asked_by_everyone
    def find(asked: Any) -> dict[str, Any]:
        """{"words", "most", "onlyChats"} -> {"rows", "more"}: runs that may be talked to."""
        asked = asked if isinstance(asked, dict) else {}
        words, most = asked.get("words"), asked.get("most")
        found = partners.find(
            words[:200] if isinstance(words, str) else "",
            min(max(most, 1), MOST_LISTED) if isinstance(most, int) else LISTED,
            only_chats=asked.get("onlyChats") is True,
        )
        return {"rows": found.rows, "more": found.more}

    return find


@asked_by_everyone
def draw(texts: Any) -> list[str]:
    """What the browser has kept of a conversation, as HTML: answers, in their order."""
    kept = texts[:DRAWN_AT_ONCE] if isinstance(texts, list) else []
    drawn: list[str] = []
    left = MOST_DRAWN
    for text in kept:
        said = text[: min(left, LONGEST_ANSWER)] if isinstance(text, str) else ""
        left -= len(said)
        drawn.append(rendered(said))
    return drawn

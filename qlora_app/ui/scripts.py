"""The scripts of the page in one file that a browser keeps: what stands in a component or an event is sent, copied and
compiled with the page at every visit, and as often as there are components.
"""

import functools
import hashlib
import inspect
import re
from pathlib import Path

import gradio as gr
from starlette.requests import Request
from starlette.responses import Response

_UI = Path(__file__).parent
PATH = "/guanaco.js"
GIVEN = "element, trigger, props, server, upload, watch"  # what Gradio hands to the script of a gr.HTML
SHORT = 200  # characters that are not worth a place in the file
# Before anything else: they are called by their names, and refusals.js stands between the page and its server.
FIRST = ("gradio_dom.js", "refusals.js", "poll.js", "kept.js", "train/form_kept.js")
# Gradio makes an event of every word between quotes in a script, and a setting of each that is called as one of those.
_SETTINGS = frozenset(inspect.signature(gr.HTML.__init__).parameters)
_QUOTED = re.compile(r"""['"`]([a-z_]+)['"`]""")
_EVENTS = re.compile(r"^const ALL_EVENTS = \[.*\];$", re.MULTILINE)  # where a script names them all
_functions: dict[str, str] = {}  # {name: a function}; pages that differ, as those of visitors do, add theirs


def shared(function: str) -> str:
    """A function that goes into the file; what it is called by on the page."""
    name = "f" + hashlib.sha256(function.encode()).hexdigest()[:8]
    _functions[name] = function
    return f"guanacoParts.{name}"


def of_component(script: str | None) -> str | None:
    """The script of a gr.HTML as that takes it: what calls it, and the names of the events that it may have."""
    if not script or len(script) < SHORT:
        return script
    named = _EVENTS.search(script)
    words = _QUOTED.findall(named[0] if named else script)
    events = " ".join(f"'{word}'" for word in sorted({*words} - _SETTINGS))
    return f"{shared(f'function ({GIVEN}) {{{chr(10)}{script}{chr(10)}}}')}({GIVEN}); // {events}"


@functools.cache
def version() -> str:
    """Of the page: another one with whatever changes in its code and scripts. A page that is open asks for it."""
    digest = hashlib.sha256()
    for path in sorted((*_UI.rglob("*.py"), *_UI.rglob("*.js"))):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def file() -> str:
    """All of them, as a browser fetches it."""
    first = "\n".join((_UI / name).read_text(encoding="utf-8") for name in FIRST)
    functions = "\n".join(f"guanacoParts.{name} = {function};" for name, function in _functions.items())
    first = first.replace("'VERSION'", f"'{version()}'")
    return f"{first}\nconst guanacoParts = {{}};\n{functions}\n"


def address() -> str:
    """Where the file is; another one with whatever changes in it, so that a browser may keep each for good."""
    return f".{PATH}?{hashlib.sha256(file().encode()).hexdigest()[:16]}"


def served_file(_: Request) -> Response:
    """The file, which a browser asks for once."""
    kept = {"cache-control": "public, max-age=31536000, immutable"}
    return Response(file(), media_type="text/javascript; charset=utf-8", headers=kept)

"""What a browser gets when it opens the page: Gradio's document, with what is to be seen before Gradio's scripts have
been read, made and compressed once for all who open it.
"""

import functools
import gzip
from collections import OrderedDict
from collections.abc import Hashable
from html import escape
from pathlib import Path

from .. import scripts
from ..colours import TOKENS
from ..frame.login import TITLE

_UI = Path(__file__).parent.parent
# The bar as it will stand there, until its own script takes this away.
OPENING = f'<div id="opening" aria-hidden="true"><b>{escape(TITLE)}</b></div>'
_SCRIPT, _BODY = b'<script type="module"', b"<gradio-app"
_KEPT = 8  # documents: one for each name that the app is opened by


@functools.lru_cache(maxsize=1)
def _head() -> str:
    """Colours and how they are chosen first, so that nothing is seen in others."""
    look = (_UI / "frame" / "look.js").read_text(encoding="utf-8")
    styles = (_UI / "style" / f"{name}.css" for name in ("outside", "opening"))
    style = "\n".join(sheet.read_text(encoding="utf-8") for sheet in styles)
    return f"<script>{look}</script><style>{TOKENS}{style}</style>"


def dressed(html: bytes) -> bytes:
    """Gradio's document with ours in it; our scripts are read before Gradio's."""
    ours = f'{_head()}<script defer src="{scripts.address()}"></script>'.encode()
    html = html.replace(_SCRIPT, ours + _SCRIPT, 1)
    return html.replace(_BODY, OPENING.encode() + _BODY, 1)


class Documents:
    """Those that were sent, each packed once. What Gradio says of a page depends on the address it is opened by and on
    who is logged in, and on nothing else.
    """

    def __init__(self) -> None:
        self._kept: OrderedDict[Hashable, bytes] = OrderedDict()

    def known(self, place: Hashable) -> bytes | None:
        """The one that was kept for a place."""
        return self._kept.get(place)

    def packed(self, place: Hashable, html: bytes) -> bytes:
        """Gradio's document, dressed, as gzip; kept for the place."""
        self._kept[place] = gzip.compress(dressed(html), compresslevel=6, mtime=0)
        while len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return self._kept[place]


def as_accepted(packed: bytes, accepted: str) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    """(what is sent, headers that say how) to a browser that takes these encodings."""
    headers = [
        (b"content-type", b"text/html; charset=utf-8"),
        (b"cache-control", b"no-cache"),
        (b"vary", b"accept-encoding"),
    ]
    if "gzip" not in accepted.lower():
        return gzip.decompress(packed), headers
    return packed, [*headers, (b"content-encoding", b"gzip")]

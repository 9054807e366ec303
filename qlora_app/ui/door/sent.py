"""What stands in a request, read as those behind the door will read it."""

import json
import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qs

from ..frame.login import KEPT_QUERY

LONGEST_FIELD = 500  # characters of a login form
A_QUERY = re.compile(r"[\w.~%&=+-]+", re.ASCII)


def joined(headers: Sequence[tuple[bytes, bytes]]) -> dict[bytes, str]:
    """One sent twice counts with all its values: who reads it next may take either."""
    joined: dict[bytes, str] = {}
    for name, value in headers:
        text = value.decode("latin-1")
        between = "; " if name == b"cookie" else ", "
        joined[name] = f"{joined[name]}{between}{text}" if name in joined else text
    return joined


def field(content: bytes, name: str) -> str:
    """A field of a form; "" where it has none."""
    found = parse_qs(content.decode("utf-8", "replace")).get(name)
    return found[0][:LONGEST_FIELD] if found else ""


def query_of(content: bytes) -> str:
    """The address that somebody wanted before the login, as the form kept it; "" for anything but a query."""
    query = field(content, KEPT_QUERY)
    return f"?{query}" if query and A_QUERY.fullmatch(query) else ""


def json_in(body: bytes) -> dict[str, Any]:
    """Empty for what is no JSON: then Gradio says so."""
    try:
        given = json.loads(body or b"{}")
    except (ValueError, RecursionError):
        return {}
    return given if isinstance(given, dict) else {}


def session_in(given: dict[str, Any]) -> str:
    """The session a request names; "" where it names none."""
    named = given.get("session_hash")
    return named if isinstance(named, str) else ""


def session_of_stream(path: str, query_string: bytes) -> str:
    """The session whose answers a stream tells."""
    query = parse_qs(query_string.decode("latin-1"))
    named = query.get("session_hash") or query.get("upload_id") or [path.rstrip("/").rpartition("/")[2]]
    return named[-1][:200]

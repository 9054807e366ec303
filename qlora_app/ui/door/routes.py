"""Who may ask for which address of the server: one table. What is not in it is nobody's.

Gradio brings more routes than the page uses, and a new version may bring others. Here each has one mark, by the
template that it is served under; `tests/test_strangers.py` fails at one without a mark.
"""

import functools
import re
from typing import Literal
from urllib.parse import parse_qsl

from starlette.routing import compile_path

from ...accounts import Role

# anybody: also before a login. visitor: whoever sees a page, so in a demonstration everybody. owner: whose page it is,
# an owner or a member, so in a demonstration nobody. assistant: what uses the page as tools, where `mcp` says so.
# program: whoever shows a key, which is asked for behind the door; in a demonstration nobody. rater: whoever has the
# link of an arena, which is asked for behind the door. nobody: the page does not use it.
Who = Literal["anybody", "visitor", "owner", "assistant", "program", "rater", "nobody"]

API = "/gradio_api"
UPLOAD = f"{API}/upload"
ROUTES: dict[str, Who] = {
    # the page before anything is known of who opens it, what it is made of, and the login
    "/": "anybody",
    "/login": "anybody",
    "/login/huggingface": "anybody",
    "/login/callback": "anybody",
    "/logout": "anybody",
    "/assets/{path:path}": "anybody",
    "/static/{path:path}": "anybody",
    "/svelte/{path:path}": "anybody",
    "/guanaco.js": "anybody",
    "/favicon.ico": "anybody",
    "/robots.txt": "anybody",
    "/healthz": "anybody",
    "/readyz": "anybody",
    "/theme.css": "anybody",
    f"{API}/theme.css": "anybody",
    f"{API}/startup-events": "anybody",
    f"{API}/app_id": "anybody",
    f"{API}/login_check": "anybody",
    # what the page asks
    "/config": "visitor",
    f"{API}/info": "visitor",
    f"{API}/user": "visitor",
    f"{API}/run/{{api_name}}": "visitor",
    f"{API}/queue/join": "visitor",
    f"{API}/queue/data": "visitor",
    f"{API}/queue/status": "visitor",
    f"{API}/heartbeat/{{session_hash}}": "visitor",
    f"{API}/cancel": "visitor",
    f"{API}/reset": "visitor",
    f"{API}/component_server": "visitor",
    f"{API}/file={{path_or_url:path}}": "visitor",
    # what was made of a run, as files, see exported.py
    "/exports/{run}/{job}": "owner",
    "/exports/{run}/{job}/{name:path}": "owner",
    # what programs ask, see serving/
    "/metrics": "program",
    "/v1": "program",
    "/v1/{path:path}": "program",
    # where people judge answers, and where the owner sees what came of it, see ui/arena/
    "/arena/{name}": "rater",
    "/arena/{name}/{deed}": "rater",
    "/arenas": "owner",
    "/arenas/{name}": "owner",
    "/arenas/{name}/live": "owner",
    "/arenas/{name}/file/{file}": "owner",
    "/arenas/{name}/link/{deed}": "owner",
    # a member's own, see ui/account.py
    "/account": "owner",
    "/account/token": "owner",
    "/account/token/forget": "owner",
    # pages of an evaluation that stand alone, see ui/judge/
    "/evaluations/{name}/judge": "owner",
    "/evaluations/{name}/judge/cost": "owner",
    "/evaluations/{name}/judge/start": "owner",
    "/evaluations/{name}/changed": "owner",
    # files into the app
    UPLOAD: "owner",
    f"{API}/upload_progress": "owner",
    f"{API}/process_recording": "owner",
    # what the page does not use
    f"{API}/api/{{api_name}}": "nobody",
    f"{API}/call/{{api_name}}": "nobody",
    f"{API}/call/{{api_name}}/{{event_id}}": "nobody",
    f"{API}/call/v2/{{api_name}}": "nobody",
    f"{API}/call/v2/{{api_name}}/{{event_id}}": "nobody",
    f"{API}/custom_component/{{id}}/{{environment}}/{{type}}/{{file_name}}": "nobody",
    f"{API}/deep_link": "nobody",
    f"{API}/dev/reload": "nobody",
    f"{API}/file/{{path:path}}": "nobody",
    f"{API}/openapi.json": "nobody",
    f"{API}/proxy={{url_path:path}}": "nobody",
    f"{API}/profiling/clear": "nobody",
    f"{API}/profiling/summary": "nobody",
    f"{API}/profiling/traces": "nobody",
    f"{API}/run-history/buckets": "nobody",
    f"{API}/run-history/connect": "nobody",
    f"{API}/run-history/records": "nobody",
    f"{API}/run-history/records/{{endpoint}}/{{record_id}}/assets/{{asset_id}}": "nobody",
    f"{API}/runs": "nobody",
    f"{API}/stream/{{event_id}}": "nobody",
    f"{API}/stream/{{event_id}}/close": "nobody",
    f"{API}/stream/{{session_hash}}/{{run}}/{{component_id}}/playlist.m3u8": "nobody",
    f"{API}/stream/{{session_hash}}/{{run}}/{{component_id}}/playlist-file": "nobody",
    f"{API}/stream/{{session_hash}}/{{run}}/{{component_id}}/{{segment_id}}.{{ext}}": "nobody",
    f"{API}/token": "nobody",
    f"{API}/undo-vibe-edit": "nobody",
    f"{API}/vibe-code": "nobody",
    f"{API}/vibe-edit": "nobody",
    f"{API}/vibe-starter-queries": "nobody",
    f"{API}/mcp": "assistant",
    f"{API}/mcp/{{path:path}}": "assistant",
    "/manifest.json": "anybody",
    "/monitoring": "nobody",
    "/monitoring/summary": "nobody",
    "/monitoring/{key}": "nobody",
    "/pwa_icon": "nobody",
    "/pwa_icon/{size}": "nobody",
    "/docs": "nobody",
    "/docs/oauth2-redirect": "nobody",
    "/openapi.json": "nobody",
    "/redoc": "nobody",
}
# Of a page, and asked for before it is known whose that is.
_OF_A_PAGE = ("/", f"{API}/startup-events", f"{API}/app_id", f"{API}/login_check")
# Addresses whose answer goes on for as long as somebody listens.
STREAMS = (f"{API}/queue/data", f"{API}/heartbeat/", f"{API}/upload_progress")
# Of these the query would open what is kept for a link; the page makes none.
_UNUSED_QUERIES = ("deep_link",)


def mark_of(template: str) -> Who | None:
    """The mark of a route by its template; None where it has none."""
    return ROUTES.get(_bare(template))


@functools.lru_cache(maxsize=2000)
def who_may(path: str) -> Who:
    """Who may ask for a path. What fits several templates is for the fewest of those."""
    if exact := ROUTES.get(_bare(path)):
        return exact
    nobody: Who = "nobody"
    return min((who for pattern, who in _patterns() if pattern.match(_bare(path))), key=_fewest, default=nobody)


def is_of_a_page(path: str) -> bool:
    """Is it answered by the page of whoever asks, and not by the server for all?"""
    return _bare(path) in _OF_A_PAGE or who_may(path) in ("visitor", "owner")


def may(who: Who, role: Role) -> bool:
    """May somebody of a role ask for an address with this mark? Each asks their own page, so that a member is the owner
    of what is found there.
    """
    if who == "assistant":  # answered by the server's own page
        return role == "owner"
    return role != "visitor" or who not in ("owner", "program")


def is_stream(path: str) -> bool:
    return path.startswith(STREAMS)


def asks_for_kept_state(query: bytes) -> bool:
    """Does the query of a page name what Gradio would load into it?"""
    asked = parse_qsl(query.decode("latin-1"), keep_blank_values=True)  # as those behind the door read it
    return any(name in _UNUSED_QUERIES for name, _ in asked)


def _bare(path: str) -> str:
    return path.rstrip("/") or "/"


def _fewest(who: Who) -> int:
    order: tuple[Who, ...] = ("nobody", "program", "assistant", "owner", "visitor", "rater", "anybody")
    return order.index(who)


@functools.lru_cache(maxsize=1)
def _patterns() -> list[tuple[re.Pattern[str], Who]]:
    return [(compile_path(template)[0], who) for template, who in ROUTES.items()]

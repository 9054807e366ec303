"""The page of an arena's owner: its link, who leads, how sure that is, and how many more votes it takes."""

import io
import json
import secrets
from collections.abc import Collection, Sequence
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from ...errors import UserError
from ...evaluate.arena import (
    DOUBTS,
    Arena,
    ArenaStanding,
    create_arena,
    path_of,
    preferences_of,
    rows_of,
    set_open,
    standing_of,
)
from ...evaluate.ratings import Standing, csv_of, svg_of
from ...storage.files import FOLDER_ID
from ..guard import in_words
from ..language import language_of, problem_in, translated
from ..translate import said_to
from .homes import Arenas
from .list_page import list_html
from .rating_page import NOT_KEPT, careful, document, refused_page

DOUBT_WORDS = {
    "hasty": "Votes within two seconds: {n}.",
    "crowded": "Votes from where many raters came: {n}.",
}
FILES = ("votes.jsonl", "preferences.jsonl", "leaderboard.csv")


class ArenaOwner:
    """Told to whoever may change something: the door sees to that."""

    def __init__(self, own: Arenas) -> None:
        self.own, self.settings, self.arena = own, own.settings, own.get

    def routes(self) -> list[Route]:
        return [
            Route("/arenas", self.all, methods=["GET"]),
            Route("/arenas", self.make, methods=["POST"]),
            Route("/arenas/{name}", self.page, methods=["GET"]),
            Route("/arenas/{name}/live", self.live, methods=["GET"]),
            Route("/arenas/{name}/file/{file}", self.file, methods=["GET"]),
            Route("/arenas/{name}/link/{deed}", self.link, methods=["POST"]),
        ]

    async def all(self, request: Request) -> Response:
        """Those there are, and what another one could be made of."""
        return await run_in_threadpool(self._all, request)

    def _all(self, request: Request, problem: str = "", status: int = 200) -> Response:
        language, nonce = language_of(request.headers.get("accept-language")), secrets.token_urlsafe(12)
        body = translated(list_html(self.settings, request.scope.get("root_path", ""), problem), language)
        return HTMLResponse(document(body, language, "Arena", (), nonce), status, careful(nonce))

    async def make(self, request: Request) -> Response:
        """One of an evaluation's answers: `of` is its name. Then its page."""
        given = parse_qs((await request.body()).decode("utf-8", "replace")).get("of", [""])[0]
        return await run_in_threadpool(self._make, request, given)

    def _make(self, request: Request, evaluation: str) -> Response:
        try:
            if not FOLDER_ID.fullmatch(evaluation):  # a path would be read from anywhere
                raise UserError("arena.which_evaluation", "Choose an evaluation whose answers are judged.")
            if self.own.quota:
                self.own.quota.check_space()
            made = create_arena(self.settings, evaluation)
        except UserError as error:
            return self._all(request, said_to(request, in_words(error)), 400)
        return RedirectResponse(f"{request.scope.get('root_path', '')}/arenas/{made.id}", 303)

    async def page(self, request: Request) -> Response:
        """The whole page; what changes of it is asked for again every few seconds."""
        return await run_in_threadpool(self._page, request)

    def _page(self, request: Request) -> Response:
        language, nonce = language_of(request.headers.get("accept-language")), secrets.token_urlsafe(12)
        try:
            arena = self.arena(request.path_params["name"])
            body = translated(self._body(arena, request, language), language)
        except UserError as error:
            sentence = said_to(request, in_words(error))
            return HTMLResponse(refused_page(language, sentence, nonce), 404, careful(nonce))
        script = Path(__file__).with_name("owner.js").read_text(encoding="utf-8")
        return HTMLResponse(document(body, language, "Arena", (script,), nonce), headers=careful(nonce))

    def _body(self, arena: Arena, request: Request, language: str) -> str:
        path = path_of(arena)
        root = request.scope.get("root_path", "")
        here = f"{root}/arenas/{arena.id}"
        leave_out = _left_out(request)
        asked = _asked(leave_out)
        address = f"{request.url.scheme}://{request.url.netloc}{root}{path}"
        link = f'<input class="link" readonly aria-label="Link for raters" value="{escape(address)}">' if path else ""
        deed, words = ("close", "Close the link") if path else ("open", "Open a new link")
        files = "".join(
            f'<a class="button" href="{here}/file/{name}{asked}" translate="no">{name}</a>' for name in FILES
        )
        models = {model for one in arena.questions.values() for model in one.answers}
        facts = f"Questions: {len(arena.questions):,}. Models: {len(models)}."
        return f"""<header><h1>Arena <span translate="no">{escape(arena.id)}</span></h1></header>
<main class="owner" data-live="{here}/live{asked}"><p class="muted">{facts}</p>
<p>{"Whoever has this link may rate:" if path else "Closed: its link opens nothing any more."}</p>{link}
<div class="deeds"><form method="post" action="{here}/link/{deed}"><button>{words}</button></form>{files}</div>
<div id="live">{standing_html(standing_of(arena, leave_out), language)}</div>
<p><a href="{root}/arenas">All arenas</a></p></main>"""

    async def live(self, request: Request) -> Response:
        """What changes while people vote."""
        return await run_in_threadpool(self._live, request)

    def _live(self, request: Request) -> Response:
        language = language_of(request.headers.get("accept-language"))
        try:
            standing = standing_of(self.arena(request.path_params["name"]), _left_out(request))
        except UserError as error:
            return JSONResponse({"problem": said_to(request, in_words(error))}, 404, NOT_KEPT)
        return JSONResponse({"html": translated(standing_html(standing, language), language)}, headers=NOT_KEPT)

    async def file(self, request: Request) -> Response:
        """Votes as rows or as pairs, or the leaderboard."""
        return await run_in_threadpool(self._file, request)

    def _file(self, request: Request) -> Response:
        name = request.path_params["file"]
        try:
            arena = self.arena(request.path_params["name"])
        except UserError as error:
            return JSONResponse({"problem": said_to(request, in_words(error))}, 404, NOT_KEPT)
        if name not in FILES:
            return JSONResponse({"problem": name}, 404, NOT_KEPT)
        headers = NOT_KEPT | {"content-disposition": f'attachment; filename="{arena.id}-{name}"'}
        return Response(
            _text_of(arena, name, _left_out(request)), media_type="text/plain; charset=utf-8", headers=headers
        )

    async def link(self, request: Request) -> Response:
        """Close it, or open another one; then the page again."""
        return await run_in_threadpool(self._link, request)

    def _link(self, request: Request) -> Response:
        name, deed = request.path_params["name"], request.path_params["deed"]
        try:
            set_open(self.arena(name), deed == "open")
        except UserError as error:
            return JSONResponse({"problem": said_to(request, in_words(error))}, 404, NOT_KEPT)
        return RedirectResponse(f"{request.scope.get('root_path', '')}/arenas/{name}", 303)


def standing_html(standing: ArenaStanding, language: str) -> str:
    """How it stands; the texts that are no errors in English, for `translated`."""
    ratings = standing.ratings
    counts = f"Votes: {standing.votes:,}. Raters: {standing.raters:,}. Comments: {standing.comments:,}."
    html = f'<p class="lead">{escape(problem_in(standing.words, language))}</p><p class="muted">{counts}</p>'
    html += _doubts(standing)
    if ratings is None:
        return html
    rows = "".join(map(_row, ratings.standings))
    head = "<th>Rank</th><th>Model</th><th>Rating</th><th>95 % interval</th><th>Matches</th><th>Won</th>"
    html += f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
    html += f'<div class="wide" translate="no">{svg_of(ratings.standings)}</div>'
    if ratings.agreement.alpha is not None:
        alpha = round(ratings.agreement.alpha, 2) + 0  # no -0.00
        html += f"<p>Raters agree with Krippendorff's alpha {alpha:.2f} on what several judged.</p>"
    notes = "".join(f"<li>{escape(problem_in(note, language))}</li>" for note in ratings.notes)
    return f"{html}<ul>{notes}</ul>"


def _doubts(standing: ArenaStanding) -> str:
    """Each that is about some votes, with a link that leaves them out, or counts them again."""
    html = ""
    for doubt, count in standing.doubts.items():
        if not count:
            continue
        is_out = doubt in standing.left_out
        others = [one for one in standing.left_out if one != doubt]
        asked = _asked(others if is_out else [*others, doubt]) or "?"
        deed = "Count them again" if is_out else "Leave them out"
        words = DOUBT_WORDS[doubt].format(n=f"{count:,}")
        html += f'<p class="muted"><span>{words}</span> <a href="{asked}">{deed}</a></p>'
    return html


def _left_out(request: Request) -> list[str]:
    """The doubts whose votes are not counted, as the address says."""
    return [doubt for doubt in DOUBTS if doubt in request.query_params.getlist("without")]


def _asked(leave_out: Sequence[str]) -> str:
    """What an address has behind it for these; "" for none."""
    return "?" + "&amp;".join(f"without={doubt}" for doubt in leave_out) if leave_out else ""


def _row(one: Standing) -> str:
    cells: tuple[Any, ...] = (
        one.rank,
        f'<span translate="no">{escape(one.model)}</span>',
        f"{one.rating:.0f}",
        f"{one.low:.0f} to {one.high:.0f}",
        f"{one.matches:,}",
        f"{one.wins / one.matches:.0%}",
    )
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _text_of(arena: Arena, name: str, leave_out: Collection[str]) -> str:
    if name == "leaderboard.csv":
        ratings = standing_of(arena, leave_out).ratings
        return csv_of(ratings.standings if ratings else ())
    text = io.StringIO()
    for row in rows_of(arena, leave_out) if name == "votes.jsonl" else preferences_of(arena, leave_out):
        text.write(json.dumps(row, ensure_ascii=False) + "\n")
    return text.getvalue()

"""What the server answers at /evaluations/NAME/judge and /evaluations/NAME/changed. The door lets in its owner only."""

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from ...errors import Problem, UserError
from ...evaluate.changed import directions_of, what_changed
from ...evaluate.evaluation import ROWS
from ...evaluate.judge import Judged, JudgeReport
from ...evaluate.judge.evaluator import JUDGMENTS
from ...evaluate.judge.judged import judged_in
from ...evaluate.judge.people import votes_on
from ...evaluate.judge.report import with_people
from ...jobs import Job, JobStore
from ...kinds.evaluate import EvaluateSpec, evaluation_of
from ...kinds.judging import of_evaluation
from ...storage.reading import read_lines
from ..arena.rating_page import NOT_KEPT, careful, document, refused_page
from ..context import AppContext
from ..evaluations.listed import EvaluationList
from ..guard import in_words
from ..language import language_of, problem_in, translated
from ..translate import said_to
from .changed_page import changed_html
from .form import Typed, form_html, judge_of
from .report_page import Listed, judgments_html, report_html

LARGEST_FORM = 100_000  # bytes
STYLE = Path(__file__).parent.parent / "style" / "judge.css"
SCRIPT = Path(__file__).with_name("judge.js")


class JudgeRoutes:
    """One per app."""

    def __init__(self, page: AppContext) -> None:
        self.page = page
        self._list = EvaluationList(page)

    def routes(self) -> list[Route]:
        """Their marks stand in door/routes.py."""
        return [
            Route("/evaluations/{name}/judge", self.judge, methods=["GET"]),
            Route("/evaluations/{name}/judge/cost", self.cost, methods=["GET"]),
            Route("/evaluations/{name}/judge/start", self.start, methods=["POST"]),
            Route("/evaluations/{name}/changed", self.changed, methods=["GET"]),
        ]

    # ---- its addresses

    async def judge(self, request: Request) -> Response:
        """The report, every judgment, and the form that starts another judge."""
        return await run_in_threadpool(self._shown, request, dict(request.query_params), None, 200)

    async def cost(self, request: Request) -> Response:
        """What it would cost, as the page says it beside its button."""
        return await run_in_threadpool(self._cost, request)

    async def start(self, request: Request) -> Response:
        """Start it, then the page of the new evaluation; or the form again, with what was typed and what is wrong."""
        content = await request.body()
        return await run_in_threadpool(self._start, request, content)

    def _shown(self, request: Request, typed: Typed, problem: Problem | None, status: int) -> Response:
        return answered(request, "Judge", lambda language: self._body(request, typed, problem, language), status)

    def _cost(self, request: Request) -> Response:
        try:
            said = self._estimated(_job(self.page, request), dict(request.query_params))
        except UserError as error:
            return JSONResponse({"said": said_to(request, in_words(error)), "starts": False}, headers=NOT_KEPT)
        return JSONResponse({"said": said_to(request, said), "starts": True}, headers=NOT_KEPT)

    def _start(self, request: Request, content: bytes) -> Response:
        typed = dict(parse_qsl(content[:LARGEST_FORM].decode("utf-8", "replace"), keep_blank_values=True))
        try:
            judged = of_evaluation(_job(self.page, request), self.page.settings)
            self.page.make_room()
            job = judged.job(judge_of(typed), self.page.settings)
            self.page.start(job)
        except UserError as error:
            return self._shown(request, typed, in_words(error), 400)
        return RedirectResponse(f"{_root(request)}/evaluations/{job.id}/judge", 303)

    # ---- what changed

    async def changed(self, request: Request) -> Response:
        """The answers of two contestants that differ."""
        return await run_in_threadpool(self._changed, request)

    def _changed(self, request: Request) -> Response:
        return answered(request, "What changed", lambda language: self._changed_body(request, language))

    def _changed_body(self, request: Request, language: str) -> str:
        job, asked = _job(self.page, request), dict(request.query_params)
        spec = job.spec(EvaluateSpec)
        contestants = spec.contestants
        names = [one.word for one in contestants]
        pair = _pair_of(asked, names)
        found = what_changed(rows_of(job).values(), *pair, directions_of(spec.evaluators), _judged_in(job))
        root = _root(request)
        address = f"{root}/evaluations/{job.id}/changed"
        titles = self._list.titles(job, language)
        shown = changed_html(found, pair, contestants, titles, _listed(asked), address, root)
        return f"""{self._top("What changed", job, root, language)}{shown}</main>"""

    # ---- the page

    def _estimated(self, job: Job, typed: Typed) -> Problem:
        """Raises UserError where it cannot be started."""
        judged = of_evaluation(job, self.page.settings)
        _, estimate = judged.with_judge(judge_of(typed), self.page.settings)
        return estimate.sentence

    def _body(self, request: Request, typed: Typed, problem: Problem | None, language: str) -> str:
        job = _job(self.page, request)
        address = f"{_root(request)}/evaluations/{job.id}/judge"
        report = report_of_job(job)
        parts = [self._head(job, _root(request), language)]
        if report is not None:
            judged, rows = _judged_in(job), rows_of(job)
            report = _with_votes(report, judged, rows, job.folder.parent)
            parts += [report_html(report, judged, language)]
            parts += [judgments_html(judged, rows, _listed(typed), address)]
        parts.append("</div>")
        parts.append(self._form(job, address, typed, problem, language))
        return "".join(parts) + "</main>"

    def _top(self, words: str, job: Job, root: str, language: str) -> str:
        """What it is about, and the way back."""
        name = escape(self._list.of_evaluation(job, language)["name"])
        back = f'<a href="{root}/?tab=runs&amp;evaluation={escape(job.id)}">Back to the evaluation</a>'
        return f"""<header><h1>{words} <span translate="no">{name}</span></h1></header>
<main class="owner judging"><p>{back}</p>"""

    def _head(self, job: Job, root: str, language: str) -> str:
        status = job.status()
        moving = " data-moving" if status.is_active or status.state == "queued" else ""
        said = escape(problem_in(status.sentence, language))
        return f"""{self._top("Judge", job, root, language)}
<div class="found"{moving}><p class="muted" role="status">{said}</p>
<p><a href="changed">What changed, answer by answer</a></p>"""

    def _form(self, job: Job, address: str, typed: Typed, problem: Problem | None, language: str) -> str:
        """Nothing before all have answered."""
        if evaluation_of(job) is None:
            return ""
        cost = problem
        if cost is None:
            try:
                cost = self._estimated(job, typed)
            except UserError as error:
                cost = in_words(error)
        endpoints = self.page.endpoints
        words = (
            '<h2>Ask a judge</h2><p class="muted">It reads the answers that are there; nobody has to answer again.</p>'
        )
        return words + form_html(address, typed, endpoints, cost, language)


def answered(request: Request, title: str, body: Callable[[str], str], status: int = 200) -> Response:
    """A page in its reader's language. body: of a language; in English, but for what is in that language already."""
    language, nonce = language_of(request.headers.get("accept-language")), secrets.token_urlsafe(12)
    try:
        html = translated(body(language), language)
    except UserError as error:
        return HTMLResponse(refused_page(language, said_to(request, in_words(error)), nonce), 404, careful(nonce))
    html = f"<style>{STYLE.read_text(encoding='utf-8')}</style>{html}"
    script = SCRIPT.read_text(encoding="utf-8")
    return HTMLResponse(document(html, language, title, (script,), nonce), status, headers=careful(nonce))


def report_of_job(job: Job) -> JudgeReport | None:
    """What its judge found; None where it has none, or is not done."""
    made = evaluation_of(job)
    measure = next((one for one in made.measures if one.evaluator == "judge"), None) if made else None
    return JudgeReport.from_json(measure.more["report"]) if measure else None


def rows_of(job: Job) -> dict[str, dict[str, Any]]:
    """{id of a question: it, with all answers}"""
    return {str(row.get("id")): row for row in read_lines(job.folder / f"{ROWS}.jsonl", 0)[0]}


def _with_votes(
    report: JudgeReport, judged: Sequence[Judged], rows: Mapping[str, Mapping[str, Any]], evaluations: Path
) -> JudgeReport:
    """With what people have said of the same answers since."""
    answers: dict[str, dict[str, dict[str, str]]] = {}
    for id, row in rows.items():
        for name, text in row.get("answers", {}).items():
            answers.setdefault(name, {})[id] = {"question": row.get("question", ""), "answer": text}
    readable = [one for one in judged if one.winner is not None]
    return replace(report, people=with_people(readable, votes_on(answers, evaluations)))


def _judged_in(job: Job) -> list[Judged]:
    return judged_in(read_lines(job.folder / f"{JUDGMENTS}.jsonl", 0)[0])


def _pair_of(asked: Typed, names: Sequence[str]) -> tuple[str, str]:
    """From the base to what was trained on it, where nothing is said. Raises UserError where one alone answered."""
    if len(names) < 2:
        raise UserError("judge.one_alone", "A judge of pairs needs two contestants. Name another one.")
    bases = [name for name in names if name.startswith("base:")]
    first = asked["first"] if asked.get("first") in names else next(iter(bases), names[0])
    others = [name for name in names if name != first]
    second = asked["second"] if asked.get("second") in others else others[0]
    return first, second


def _job(page: AppContext, request: Request) -> Job:
    """Raises UserError."""
    job = JobStore(page.settings.evaluations).get(request.path_params["name"])
    if job.kind != "evaluate":
        raise UserError("judge.no_evaluation", "{name} is no evaluation.", name=job.id)
    return job


def _listed(typed: Typed) -> Listed:
    page = typed.get("page", "0")
    return Listed(typed.get("show", "all"), typed.get("find", "").strip(), int(page) if page.isdecimal() else 0)


def _root(request: Request) -> str:
    return str(request.scope.get("root_path", ""))

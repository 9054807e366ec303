"""The list of evaluations below the runs, one of them opened, and the form for a new one: one component, whose script
asks for what it shows. Nothing of it is sent with the page.
"""

import json
import tempfile
from pathlib import Path
from typing import Any

import gradio as gr
from pydantic import ValidationError

from ...errors import UserError
from ...evaluate import EVALUATORS, Contestant
from ...evaluate.boards import boards_of
from ...evaluate.expected_time import expected_time
from ...evaluate.harness.tasks import TASKS, check_installed
from ...evaluate.patterns import broken
from ...jobs import Job
from ...kinds.evaluate import EvaluateSpec, evaluate_job, evaluation_of
from ...runs.labels import relabel
from ...storage.files import FOLDER_ID
from ..context import AppContext
from ..guard import owners, served, shared
from ..language import problem_in, spoken, texts_in
from ..runs.card_parts import title_of
from ..theme import plain
from ..translate import visitors_language
from .figures import AnswerRows, board_in, measures_in
from .listed import EvaluationList
from .words import ASKED_ALONE, EVALUATOR_WORDS, SET_WORDS, of_form

FOLDER = Path(__file__).parent
LARGEST_UPLOAD = 20_000_000  # letters of a file of questions
SKELETON = """<section class="evaluations" data-state="none">
<div class="line"><h2>Evaluations</h2></div><div class="evaluation-form"></div><div class="evaluation-list"></div>
<div class="evaluation-one"></div></section>"""


class Evaluations:
    """The component, and what its script asks and does."""

    def __init__(self, page: AppContext) -> None:
        self.page = page
        self.rows = AnswerRows()
        self.list = EvaluationList(page)

    def build(self) -> gr.HTML:
        script = "".join(
            path.read_text(encoding="utf-8") for path in (FOLDER.parent / "runs/words.js", FOLDER / "evaluations.js")
        )
        said = json.dumps([EVALUATOR_WORDS, SET_WORDS])
        texts = json.dumps(texts_in(SKELETON + script + said), ensure_ascii=False)
        known = f"const MAY_CHANGE = {json.dumps(self.page.may_change)};"
        asks = [shared(self.listed), served(self.one), served(self.answers), served(self.offered), served(self.takes)]
        does = [*map(owners, (self.begin, self.stop, self.resume, self.rename, self.delete))]
        return plain(
            "",
            html_template=SKELETON,
            js_on_load=f"const TEXTS = {texts};\n{known}\n{script}",
            server_functions=[*asks, *does],
            elem_id="evaluations",
        )

    # ---- what the script asks; anybody may call these with anything

    def listed(self, asked: Any) -> dict[str, Any]:
        """-> {rows: [...], live: does one of them move}. Visitors of a demonstration are shown none."""
        if not self.page.may_change:
            return {"rows": [], "live": False}
        rows = self.list.rows(visitors_language())
        return {"rows": rows, "live": any(row["live"] for row in rows)}

    def one(self, asked: Any) -> dict[str, Any]:
        """{id} -> the row, its measures and what is to be known of them; {} where there is none."""
        job = self._job(asked)
        if job is None:
            return {}
        language = visitors_language()
        found, titles = evaluation_of(job), self.list.titles(job, language)
        shown = {**self.list.of_evaluation(job, language), "measures": [], "boards": [], "titles": []}
        if found is None:
            return shown
        return {
            **shown,
            "asked": found.asked,
            "questions": found.questions,
            "measures": measures_in(found, titles, language),
            "boards": [board_in(one, titles, language) for one in boards_of(job, self.list.store.list())],
            "titles": [titles.get(word, word) for word in found.contestants],  # who said nothing has no answers
        }

    def answers(self, asked: Any) -> dict[str, Any]:
        """{id, which, search, start, by} -> {total, all, rows} of the questions that fit."""
        job = self._job(asked)
        return self.rows.fitting(job, asked) if job is not None else {"total": 0, "all": 0, "rows": []}

    def offered(self, asked: Any) -> dict[str, Any]:
        """{runs} -> what the form offers for them."""
        runs = [run for run in map(self.page.find, _texts(asked, "runs")) if run is not None and run.newest_adapter()]
        language = visitors_language()
        contestants = [{"word": run.id, "title": title_of(run), "on": True} for run in runs]
        bases = [{"word": f"base:{run.id}", "title": f"{spoken('Base of', language)} {title_of(run)}"} for run in runs]
        elsewhere = [{"word": f"endpoint:{one.name}", "title": one.name} for one in self.page.endpoints]
        boxes = {name: words for name, words in EVALUATOR_WORDS.items() if name not in ASKED_ALONE}
        evaluators = [{"name": name, "title": spoken(words, language)} for name, words in boxes.items()]
        sets = [{"name": name, "title": spoken(words, language)} for name, words in SET_WORDS.items()]
        try:
            check_installed()
            missing = ""
        except UserError as error:
            missing = problem_in(error.problem, language)
        tasks = {"tasks": list(TASKS), "noTasks": missing}
        return {"contestants": [*contestants, *bases, *elsewhere], "evaluators": evaluators, "sets": sets, **tasks}

    def takes(self, asked: Any) -> dict[str, Any]:
        """The form -> {words: about how long it takes, or what is still missing; pattern: what is wrong with it}."""
        if not self.page.may_change:
            return {"words": ""}
        language = visitors_language()
        try:
            with tempfile.TemporaryDirectory(prefix="guanaco-questions-") as folder:
                spec = self._spec(asked, Path(folder))
                file = spec.questions.file
                expected = expected_time(spec, self.page.settings, file.parent if file else Path(folder))
        except (UserError, ValidationError, OSError, ValueError) as error:
            wrong = broken(_text(asked, "pattern")) if isinstance(error, ValidationError) else None
            return {"words": _told(error, language), "pattern": problem_in(wrong, language) if wrong else ""}
        if expected is None:
            return {"words": spoken("How long it takes is not known yet.", language)}
        return {"words": spoken(expected.words, language)}

    # ---- what its owner does

    def begin(self, asked: Any) -> dict[str, Any]:
        """The form -> {id} of the evaluation that was begun, or {problem}."""
        try:
            self.page.make_room()
            with tempfile.TemporaryDirectory(prefix="guanaco-questions-") as folder:
                job = evaluate_job(self.page.settings, self._spec(asked, Path(folder)))
        except (UserError, ValidationError, OSError) as error:
            return {"problem": _told(error, visitors_language())}
        self.page.sessions.make_way()  # its worker loads the models once more
        self.page.start(job)
        return {"id": job.id}

    def stop(self, asked: Any) -> dict[str, Any]:
        """{id}: what is answered stays."""
        job = self._job(asked)
        if job is not None:
            job.request("stop")
        return {}

    def resume(self, asked: Any) -> dict[str, Any]:
        """{id}: it goes on where it stopped."""
        job = self._job(asked)
        try:
            if job is not None:
                self.page.start(job)
        except UserError as error:
            return {"problem": _told(error, visitors_language())}
        return {}

    def rename(self, asked: Any) -> dict[str, Any]:
        """{id, name} -> {} or {problem}: what it is called from now on; "" as before."""
        job, given = self._job(asked), asked.get("name") if isinstance(asked, dict) else None
        try:
            if job is not None and isinstance(given, str):
                relabel(job, name=given)
        except UserError as error:
            return {"problem": _told(error, visitors_language())}
        return {}

    def delete(self, asked: Any) -> dict[str, Any]:
        """{id} -> {} or {problem}. The answers stay: others may read them."""
        job = self._job(asked)
        try:
            if job is not None:
                self.list.store.delete(job.id)
        except UserError as error:
            return {"problem": _told(error, visitors_language())}
        return {}

    # ----

    def _job(self, asked: Any) -> Job | None:
        id = asked.get("id") if isinstance(asked, dict) else None
        if not self.page.may_change or not isinstance(id, str) or not FOLDER_ID.fullmatch(id):
            return None
        try:
            job = self.list.store.get(id)
        except UserError:
            return None
        return job if job.kind == "evaluate" else None

    def _spec(self, asked: Any, folder: Path) -> EvaluateSpec:
        """What a form means; a file that came with it is written into the folder. Raises UserError, ValidationError."""
        form = of_form(asked, folder, LARGEST_UPLOAD)
        evaluators = tuple(EVALUATORS[name].model_validate(more) for name, more in form.evaluators.items())
        contestants = tuple(Contestant.of(word, self.page.settings) for word in form.contestants)
        return EvaluateSpec(
            contestants=contestants,
            questions=form.questions([one.run for one in contestants if one.is_here]),
            limit=form.limit,
            evaluators=evaluators,
        )


def _texts(asked: Any, name: str) -> list[str]:
    given = asked.get(name) if isinstance(asked, dict) else None
    return [one for one in given[:16] if isinstance(one, str)] if isinstance(given, list) else []


def _text(asked: Any, name: str) -> str:
    given = asked.get(name) if isinstance(asked, dict) else None
    return given if isinstance(given, str) else ""


def _told(error: Exception, language: str) -> str:
    if isinstance(error, UserError):
        return problem_in(error.problem, language)
    if isinstance(error, ValidationError):
        return "; ".join(str(one["msg"]).removeprefix("Value error, ") for one in error.errors())
    return str(error)

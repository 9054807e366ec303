"""Where runs are compared: their adapters are made into one, by a job whose card stands there."""

from collections.abc import Sequence
from html import escape
from typing import Any, get_args

import gradio as gr
from pydantic.fields import FieldInfo

from ...choices import bounds, options
from ...errors import UserError
from ...kinds.merge import MergeSpec, equal_parts, merge_job, merge_spec, merged
from ...kinds.merge_checks import checked
from ...methods.combining import By, Combination
from ...runs import Run, address_of
from ...runs.labels import LONGEST_NAME
from ...runs.shared import changing
from ..context import AppContext
from ..events import Answer
from ..guard import changes
from ..job_card import JobCard
from ..translate import translate
from .card_parts import title_of
from .table import given_by, texts_of

READ_BY = {  # {setting: does this combination read it?}
    "rank": lambda how: how.cuts,
    "density": lambda how: how.prunes,
    "majority_sign_method": lambda how: how.votes,
    "seed": lambda how: how.draws,
}
PROBLEM = '<small class="warning" role="alert" data-problem="{}"></small>'


class MergeForm:
    """The form is HTML of the comparison; the card of its job is a component."""

    def __init__(self, page: AppContext) -> None:
        self.page = page
        self.job = JobCard(page)

    def build(self) -> gr.HTML:
        self.card = self.job.build(elem_id="merge-job")
        return self.card

    def wire(self) -> None:
        self.job.wire()

    def merge_check(self, asked: Any) -> dict[str, Any]:
        """What stands in the form -> {problems: {field: sentence}, notes: [what one should know]}."""
        try:
            spec = _spec(asked)
            with changing():  # as its job finds them
                notes = checked(spec.parts, spec.how, self.page.store).notes
        except UserError as error:
            said = error.problems or {"parts": error.problem}
            return {"problems": {field: translate(problem) for field, problem in said.items()}, "notes": []}
        return {"problems": {}, "notes": [translate(note) for note in notes]}

    @changes
    def merge(self, event: gr.EventData) -> Answer:
        """The form was sent."""
        self.page.make_room()
        job = merge_job(_spec(given_by(event)), self.page.settings, self.page.store)
        self.page.sessions.make_way()  # its worker loads the model once more
        self.page.start(job)
        return {self.card: address_of(job)}

    def made_by(self, address: str) -> Run | None:
        """The run that came of the job on the card."""
        id = merged(self.page.jobs.get(address)) if address else None
        self.page.summaries.look_again()
        return self.page.find(id) if id else None


def _spec(asked: Any) -> MergeSpec:
    """Raises UserError. Anybody may send anything."""
    given = asked if isinstance(asked, dict) else {}
    weights, how = given.get("weights"), given.get("how")
    chosen = how if isinstance(how, dict) else {}
    known = {name: value for name, value in chosen.items() if name in Combination.model_fields}
    return merge_spec(
        equal_parts(texts_of(given.get("runs")), weights if isinstance(weights, list) else []),
        known,
        str(given.get("name") or "")[:LONGEST_NAME],
    )


def merge_form(runs: Sequence[Run]) -> str:
    """Hidden before somebody asks for it."""
    equal = f"{1 / len(runs):.4g}"
    weights = "".join(
        f'<label><span translate="no">{escape(title_of(run))}</span>'
        f'<input type="number" name="weight" value="{equal}" min="-2" max="2" step="any" aria-label="Weight">'
        f"{PROBLEM.format(f'parts.{escape(run.id)}')}</label>"
        for run in runs
    )
    fields = "".join(_field(name, field) for name, field in Combination.model_fields.items())
    return (
        '<form class="again-form merge-form" hidden><h3>Merge their adapters into one</h3>'
        '<p class="quiet">A run of its own comes of it, which is asked what each of them is asked.</p>'
        f'<p class="quiet">Weights</p><div class="fields">{weights}</div>{PROBLEM.format("parts")}'
        f'{PROBLEM.format("weights")}<div class="fields">{fields}{_name()}</div>'
        '<div class="told"></div><small class="warning others" role="alert"></small>'
        '<div class="does"><button type="submit" class="main">Merge</button>'
        '<button type="button" data-close>Close</button></div></form>'
    )


def _name() -> str:
    return f'<label><span>Name of the run</span><input name="name" maxlength="{LONGEST_NAME}"></label>'


def _field(name: str, field: FieldInfo) -> str:
    """A setting, which is seen where the combination that is chosen reads it."""
    known = options(field)
    reads = READ_BY.get(name)
    read_by = [by for by in get_args(By) if reads(Combination(by=by))] if reads else []
    seen = f' data-by="{" ".join(read_by)}"' if reads else ""
    about = escape(str(field.description))
    if known:
        rows = "".join(f'<option value="{value}">{escape(words)}</option>' for words, value in known)
        control = f'<select name="{name}" data-how title="{about}">{rows}</select>'
    else:
        low, high = bounds(field)
        control = (
            f'<input type="number" name="{name}" data-how value="{field.default}" min="{low:g}" max="{high:.15g}" '
            f'step="{"any" if name == "density" else 1}" title="{about}">'
        )
    return f"<label{seen}><span>{escape(str(field.title))}</span>{control}{PROBLEM.format(f'how.{name}')}</label>"

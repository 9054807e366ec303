"""What is wrong with the form, as a list below it and at each field."""

from typing import Any

from ...errors import UserError
from ..events import Answer
from ..theme import plain
from .form import TrainForm
from .form_values import COLUMNS, HELD_OUT, HUB_PART, PAIRS
from .stage import Stage
from .words import BEFORE_START, problem_words

# Marks the fields that have a mistake, for eyes and for screen readers, and takes the marks away with the list of
# mistakes.
MARK_FIELDS = """
const unmark = () => document.querySelectorAll('.mistake').forEach(m => m.remove());
const mark = (item, tries) => {
  const field = document.getElementById(item.dataset.field), input = field && field.querySelector('input, textarea');
  if (!input) { if (tries) setTimeout(() => mark(item, tries - 1), 100); return; }  // its fold is just being opened
  const note = document.createElement('p'); note.className = 'mistake'; note.id = item.dataset.field + '-mistake';
  note.textContent = item.querySelector('.text').textContent; field.append(note);
  input.setAttribute('aria-invalid', 'true'); input.setAttribute('aria-describedby', note.id);
  input.addEventListener('input', () => { note.remove(); input.removeAttribute('aria-invalid'); }, {once: true});
};
const all = () => {
  unmark(); document.querySelectorAll('[aria-invalid]').forEach(i => i.removeAttribute('aria-invalid'));
  element.querySelectorAll('[data-field]').forEach(item => mark(item, 30));
  if (element.querySelector('.alert')) element.scrollIntoView({block: 'nearest'});
};
watch('value', all); all();
"""


class Mistakes:
    """The list, and the face of the stage that it turns to."""

    def __init__(self, form: TrainForm, stage: Stage) -> None:
        self.form = form
        self.stage = stage

    def build(self) -> None:
        """Nothing is wrong yet."""
        self.alert = plain(js_on_load=MARK_FIELDS, elem_id="alert")

    @property
    def outputs(self) -> list[Any]:
        """What the answers below fill."""
        return [self.alert, *self.stage.outputs]

    def listed(self, error: UserError, heading: str = BEFORE_START) -> Answer:
        """The mistakes named, and the face of the stage shown where they are."""
        answer: Answer = {self.alert: problem_words(error, heading)}
        wrong = set(error.problems) - set(PAIRS)
        if not wrong:
            return answer
        is_of_data = all(name.startswith(COLUMNS) or name in (*HUB_PART, HELD_OUT) for name in wrong)
        return answer | self.stage.turned("data" if is_of_data else "settings")

    def none(self) -> Answer:
        """Nothing is wrong any more."""
        return {self.alert: ""}

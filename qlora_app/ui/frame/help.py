"""What the question mark in the bar tells. Nothing of it is asked of a network."""

from ... import __version__

_STEPS = (
    ("Train", "Choose a model and data, press Start training. What is on the form is enough."),
    ("Runs", "Every training, with its curve, its samples and its figures; compare, rename, delete."),
    ("Chat", "The model before and after, side by side, on the same question."),
)
_WORDS = (
    ("Adapter (LoRA)", "The small part that is trained. The base model stays as it is."),
    ("4-bit (QLoRA)", "The base model is kept in 4 bits a number, so that it needs a quarter of the memory."),
    ("Loss", "How surprised the model is by the right answer. Lower is better."),
    (
        "Held-out",
        "Rows that are never learned, only measured with. A held-out loss that rises means it learns by heart.",
    ),
    ("Epoch, step", "An epoch is once through the data; a step is one batch of it."),
    ("Checkpoint", "What was learned so far, saved. Resume goes on from the newest one."),
)
_KEYS = (
    ("Tab, Shift + Tab", "to the next and the last control"),
    ("Enter", "asks in the chat; Shift + Enter begins a new line"),
    ("← → Home End", "read the curve, once it has the focus"),
    ("↑ ↓ Enter Esc", "choose in a list, or close it"),
    ("Esc", "closes this and the drawer"),
)
_DOCS = (
    ("data.md", "formats, columns, held-out data"),
    ("methods.md", "every method, compared"),
    ("models.md", "which base models, and how much memory they need"),
    ("proof.md", "what is measured of a finished run"),
    ("command_line.md", "the same without the page"),
    ("deploy.md", "logins and proxies"),
)


def _rows(pairs: tuple[tuple[str, str], ...]) -> str:
    return "".join(f"<div><dt>{name}</dt><dd>{words}</dd></div>" for name, words in pairs)


def _files() -> str:
    return "".join(f'<div><dt translate="no">docs/{name}</dt><dd>{words}</dd></div>' for name, words in _DOCS)


HELP = (
    '<h2 id="help-title">Help</h2>'
    f"<dl>{_rows(_STEPS)}</dl><h3>Words</h3><dl>{_rows(_WORDS)}</dl><h3>Keys</h3><dl>{_rows(_KEYS)}</dl>"
    "<h3>When something does not work</h3><p>A sentence in red says what to do next. The chip with the memory tells "
    "what this machine can do and what to mend. The log of a run has the last lines of its program.</p>"
    f"<h3>More, in the folder of the app</h3><dl>{_files()}</dl>"
    f'<p class="quiet" translate="no">Guanaco Workshop {__version__}</p>'
)

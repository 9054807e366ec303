"""On the page "Use it": what is made of a finished adapter for other programs, and how far that is from the adapter."""

from html import escape
from typing import Any
from urllib.parse import quote

from ...choices import options
from ...export import EXPORTERS, Exporter
from ...export.modelfile import ollama_commands
from ...formatting import size
from ...jobs import Job, Status
from ...kinds.export import newest_export
from ...runs import Run
from ...runs.exports import FILES, Differing, Export, Fidelity, exports_of, file_of, made_by
from ...runs.other_servers import asked_elsewhere, llama_server, vllm_config, vllm_problem
from ..exported import address_of
from ..translate import translate
from .code_block import code_block

LISTED = 10  # answers that differ, files
SIGNS = {"green": "good", "amber": "fair", "red": "bad", "unknown": "fair"}


def is_exporting(run: Run) -> bool:
    """Is one on its way?"""
    return any(_moves(job.status()) for job in exports_of(run))


def exports_part(run: Run) -> str:
    """Nothing before the run has finished: only a finished adapter is exported."""
    if run.newest_adapter() != run.adapter:
        return ""
    return "".join(_export(run, kind()) for kind in EXPORTERS.values() if kind.is_offered_for(run))


def _export(run: Run, exporter: Exporter) -> str:
    head = f"<h3>{escape(exporter.title)}</h3>"
    job = newest_export(run, exporter.called_by_name())
    status = job.status() if job else None
    if job and status and _moves(status):
        return f"{head}{_progress(job, status)}"
    made = made_by(job) if job and status and status.state == "done" else None
    if job and made:
        return f"{head}{_report(run, job, made)}"
    if problem := next(iter(exporter.problems(run).values()), None):
        return f'{head}<p class="quiet">{escape(translate(problem))}</p>'
    return f"{head}{_failed(status)}{_offer(exporter, 'Try again' if status else 'Make it')}"


def servers_part(run: Run) -> str:
    """How vLLM serves the adapter, or why it does not."""
    if run.newest_adapter() != run.adapter:
        return ""
    if problem := vllm_problem(run):
        return f'<h3>vLLM</h3><p class="quiet">{escape(translate(problem))}</p>'
    return (
        '<h3>vLLM</h3><p class="quiet">On a GPU, in an environment of its own: save this as vllm.yaml.</p>'
        f"{code_block(vllm_config(run))}{code_block('vllm serve --config vllm.yaml')}"
    )


def _moves(status: Status) -> bool:
    return status.is_active or status.state == "queued"


def _offer(exporter: Exporter, words: str, about: str | None = None) -> str:
    """about: what stands above it, where that is not what the exporter says of itself."""
    name = exporter.called_by_name()
    return (
        f'<p class="quiet">{escape(exporter.about if about is None else about)}</p><p class="deeds">{_types(exporter)}'
        f'<button type="button" data-do="export" data-format="{name}">{words}</button></p>'
    )


def _types(exporter: Exporter) -> str:
    """The choice of a type of weights, or of a rank, for an exporter that has one."""
    field = type(exporter).model_fields.get(exporter.asked)
    known = options(field) if field else None
    known = known or [(words, value) for value, words in exporter.offered.items()]
    if field is None or not known:
        return ""
    rows = "".join(
        f'<option value="{value}"{" selected" * (value == field.default)}>{escape(_named(words, value))}</option>'
        for words, value in known
    )
    of, about = exporter.called_by_name(), escape(str(field.description))
    return f'<select name="{exporter.asked}" data-of="{of}" aria-label="{field.title}" title="{about}">{rows}</select>'


def _named(words: str, value: Any) -> str:
    if not isinstance(value, str):
        return translate(words)
    return value if words == value else f"{translate(words)} ({value})"


def _failed(status: Status | None) -> str:
    if status is None:
        return ""
    return f'<p class="warning" role="alert">{escape(translate(status.sentence))}</p>'


def _progress(job: Job, status: Status) -> str:
    share = 100 * min(1.0, status.progress or 0.0)
    stop = f'<button type="button" data-do="unexport" data-format="{escape(job.id)}">Stop</button>'
    if status.state == "stopping":
        stop = '<button type="button" disabled>Stopping…</button>'
    return (
        f'<p class="quiet" role="status">{escape(translate(status.sentence))}</p>'
        '<div class="bar" role="progressbar" aria-label="Progress" aria-valuemin="0" aria-valuemax="100" '
        f'aria-valuenow="{share:.0f}"><i style="width:{share:.1f}%"></i></div><p class="deeds">{stop}</p>'
    )


def _report(run: Run, job: Job, made: Export) -> str:
    file = file_of(job, made)
    if file is None:
        return f'<p class="warning" role="alert">The file is gone.</p>{_offer(EXPORTERS[made.format](), "Make it")}'
    notes = "".join(f'<p class="quiet">{note}</p>' for note in map(escape, made.notes))
    return (
        f'<p class="quiet">{size(made.size)}, <code translate="no">{escape(str(job.folder / FILES))}</code></p>'
        f"{_downloads(run, job, made)}{_measured(made.fidelity)}{notes}"
        f"{_served(run, job, made)}{_another(made)}"
    )


def _another(made: Export) -> str:
    """The same in another type of weights, for exporters that have several."""
    exporter = EXPORTERS[made.format]()
    return _offer(exporter, "Make another", "In another way:") if _types(exporter) else ""


def _downloads(run: Run, job: Job, made: Export) -> str:
    """The whole as a zip, and each file where there are few."""
    names = sorted(made.files, key=lambda name: -made.files[name])
    links = [(address_of(run, job), "Download (zip)", made.size)] if len(names) > 1 else []
    if len(names) <= LISTED:
        links += [(address_of(run, job, name), name, made.files[name]) for name in names]
    rows = "".join(
        f'<li><a href="{quote(where)}" download title="{_checksum(made, name)}">{escape(name)}</a> '
        f'<span class="quiet">{size(count)}</span></li>'
        for where, name, count in links
    )
    return f'<ul class="downloads">{rows}</ul>'


def _checksum(made: Export, name: str) -> str:
    return f"SHA-256 {made.checksums[name]}" if name in made.checksums else ""


def _measured(measured: Fidelity) -> str:
    if not measured.reader:  # nothing that answers was made, or a note says why it was not asked
        return ""
    chances = f'<p class="note">{measured.chances}</p>' if measured.chances else ""
    return (
        f'<div class="verdict {SIGNS[measured.level]}"><p class="said">{measured.words}</p>'
        f"{chances}{differing_rows(measured)}</div>"
    )


def _served(run: Run, job: Job, made: Export) -> str:
    """The lines for the programs that open it."""
    file = file_of(job, made)
    if file is None or made.format not in ("gguf", "ollama"):
        return ""
    if made.format == "ollama":
        return f'<p class="quiet">In that folder:</p>{code_block(ollama_commands(run, file.name))}'
    return (
        '<p class="quiet">Served by llama.cpp to programs of this machine, which ask it as they ask OpenAI:</p>'
        f"{code_block(llama_server(run, file))}{code_block(asked_elsewhere(run))}"
    )


def differing_rows(measured: Fidelity, first: str = "Adapter", second: str = "Export") -> str:
    """The answers that differ, folded. first, second: whose they are."""
    if not measured.differing:
        return ""
    shown, all_of_them = measured.differing[:LISTED], measured.questions - measured.same
    rows = "".join(map(_row, shown))
    return (
        f"<details><summary>Answers that differ: {len(shown):,} of {all_of_them:,}</summary>"
        '<div class="scrolls" tabindex="0" role="region" aria-label="Answers that differ">'
        '<table class="tested"><thead><tr><th scope="col">Question</th>'
        f'<th scope="col">{first}</th><th scope="col">{second}</th><th scope="col">Expected</th>'
        f"</tr></thead><tbody>{rows}</tbody></table></div></details>"
    )


def _row(one: Differing) -> str:
    cells = "".join(f'<td translate="no">{escape(text)}</td>' for text in (one.trained, one.exported, one.expected))
    return f'<tr><th scope="row" translate="no">{escape(one.question)}</th>{cells}</tr>'

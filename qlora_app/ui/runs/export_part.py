"""On the page "Use it": the adapter as one file for llama.cpp, and how far that file is from the adapter."""

from html import escape

from ...export import GgufExporter
from ...formatting import size
from ...jobs import Job, Status
from ...runs import Run
from ...runs.exports import Differing, Export, Fidelity, exports_of, file_of, made_by
from ...runs.other_servers import asked_elsewhere, llama_server, vllm_config, vllm_problem
from ..translate import translate
from .code_block import code_block

EXPORTER = GgufExporter()
LISTED = 10  # answers that differ
SIGNS = {"green": "good", "amber": "fair", "red": "bad", "unknown": "fair"}
HEAD = "<h3>One file (GGUF)</h3>"


def newest_gguf(run: Run) -> Job | None:
    """The newest job that makes such a file of a run, or has made one."""
    return next((job for job in exports_of(run) if "gguf" in job.id), None)


def is_exporting(run: Run) -> bool:
    """Is one on its way?"""
    job = newest_gguf(run)
    return job is not None and _moves(job.status())


def export_part(run: Run) -> str:
    """Nothing before the run has finished: only a finished adapter is exported."""
    if run.newest_adapter() != run.adapter:
        return ""
    job = newest_gguf(run)
    status = job.status() if job else None
    if job and status and _moves(status):
        return f"{HEAD}{_progress(status)}"
    made = made_by(job) if job and status and status.state == "done" else None
    if job and made:
        return f"{HEAD}{_report(run, job, made)}"
    if problem := next(iter(EXPORTER.problems(run).values()), None):
        return f'{HEAD}<p class="quiet">{escape(translate(problem))}</p>'
    return f"{HEAD}{_failed(status)}{_offer('Try again' if status else 'Make the file')}"


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


def _offer(words: str) -> str:
    return (
        '<p class="quiet">Base and adapter merged, for llama.cpp, Ollama and LM Studio. llama.cpp reads it back and is '
        "asked what the adapter was asked; where every answer is the same and there is no GPU, the chat answers "
        "through it.</p>"
        f'<p class="deeds"><button type="button" class="main" data-do="export">{words}</button></p>'
    )


def _failed(status: Status | None) -> str:
    if status is None:
        return ""
    return f'<p class="warning" role="alert">{escape(translate(status.sentence))}</p>'


def _progress(status: Status) -> str:
    share = 100 * min(1.0, status.progress or 0.0)
    stop = '<button type="button" data-do="unexport">Stop</button>'
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
        return f'<p class="warning" role="alert">The file is gone.</p>{_offer("Make the file")}'
    notes = "".join(f'<p class="quiet">{note}</p>' for note in map(escape, made.notes))
    return (
        f'<p class="quiet">{size(made.files[file.name])}, <code translate="no">{escape(str(file))}</code></p>'
        f'<div class="verdict {SIGNS[made.fidelity.level]}"><p class="said">{made.fidelity.words}</p>'
        f"{_chances(made.fidelity)}{_differing(made.fidelity)}</div>{notes}"
        '<p class="quiet">Served by llama.cpp to programs of this machine, which ask it as they ask OpenAI:</p>'
        f"{code_block(llama_server(run, file))}{code_block(asked_elsewhere(run))}"
    )


def _chances(measured: Fidelity) -> str:
    if measured.first_choice is None or measured.kl_mean is None:
        return ""
    return (
        f'<p class="note">{measured.first_choice:.2%} of {measured.positions:,} tokens have the same first choice; '
        f"KL {measured.kl_mean:.1e} nats a token.</p>"
    )


def _differing(measured: Fidelity) -> str:
    if not measured.differing:
        return ""
    rows = "".join(map(_row, measured.differing[:LISTED]))
    return (
        "<details><summary>Answers that differ</summary>"
        '<div class="scrolls" tabindex="0" role="region" aria-label="Answers that differ">'
        '<table class="tested"><thead><tr><th scope="col">Question</th>'
        '<th scope="col">Adapter</th><th scope="col">File</th><th scope="col">Expected</th>'
        f"</tr></thead><tbody>{rows}</tbody></table></div></details>"
    )


def _row(one: Differing) -> str:
    cells = "".join(f'<td translate="no">{escape(text)}</td>' for text in (one.trained, one.exported, one.expected))
    return f'<tr><th scope="row" translate="no">{escape(one.question)}</th>{cells}</tr>'

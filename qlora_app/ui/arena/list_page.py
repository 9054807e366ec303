"""The page of all arenas: those there are, and evaluations whose answers people could judge."""

from html import escape

from ...evaluate.arena import Arena
from ...evaluate.arena.made import CHAT, ROWS, spec_of
from ...jobs import Job, JobStore
from ...settings import Settings

MOST_SHOWN = 100


def list_html(settings: Settings, root: str, problem: str = "") -> str:
    """In English, for `translated`. root: the path below which the app is served. problem: what was wrong, in words."""
    jobs = JobStore(settings.evaluations).list()
    made = "".join(_arena(Arena(job.folder), root) for job in jobs[:MOST_SHOWN] if job.kind == "arena")
    offered = "".join(_offer(job, root) for job in jobs[:MOST_SHOWN] if _can_be_judged(job))
    said = f'<p class="wrong" role="alert">{escape(problem)}</p>' if problem else ""
    none = "<p>None yet. An evaluation of two models or more can be judged here once it is done.</p>"
    answers = f'<ul class="lines">{offered}</ul>' if offered else none
    arenas = f'<h2>Arenas</h2><ul class="lines">{made}</ul>' if made else ""
    back = f'<p><a href="{root}/?tab=runs">Back to the runs</a></p>'
    return (
        f'<header><h1>Which answer is better?</h1></header><main class="owner">{said}'
        "<p>People judge answers without knowing whose they are: you send them a link.</p>"
        f"{arenas}<h2>Answers of evaluations</h2>{answers}{back}</main>"
    )


def _arena(arena: Arena, root: str) -> str:
    votes = f"Votes: {len(arena.votes()):,}."
    what = "<span>Blind in the chat.</span>" if spec_of(arena).source == CHAT else ""
    return f'<li><a href="{root}/arenas/{arena.id}" translate="no">{arena.id}</a> {what} <span>{votes}</span></li>'


def _offer(job: Job, root: str) -> str:
    return (
        f'<li><span translate="no">{escape(job.id)}</span><form method="post" action="{root}/arenas">'
        f'<button name="of" value="{escape(job.id)}">Make an arena</button></form></li>'
    )


def _can_be_judged(job: Job) -> bool:
    return job.kind != "arena" and (job.folder / ROWS).is_file()

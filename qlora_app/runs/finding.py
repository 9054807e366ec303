"""A run by the name somebody gives it."""

from ..errors import UserError
from ..overrides import PROGRAM
from .run import Run
from .store import RunStore


def find_run(name: str, store: RunStore, with_adapter: bool = False) -> Run:
    """The run of that name, or the only one whose name begins so. `latest` is the newest, among those that can answer
    if asked so. Raises UserError.
    """
    runs = store.list()
    if name == "latest" and runs:
        if with_adapter:
            return next((run for run in runs if run.newest_adapter()), runs[0])
        return runs[0]
    if name in (run.id for run in runs):
        return store.get(name)
    found = [run.id for run in runs if run.id.startswith(name)]
    if len(found) == 1:
        return store.get(found[0])
    if found:
        raise UserError(
            "run.several_begin",
            "{count} runs begin with {name}: {runs}. Give more of the name.",
            count=len(found),
            name=name,
            runs=", ".join(found[:5]),
        )
    raise UserError(
        "run.none_begins",
        "There is no run {name!r} in {folder}. `{program} runs` lists them.",
        name=name,
        folder=store.root,
        program=PROGRAM,
    )

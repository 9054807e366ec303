"""`python -m qlora_app.evaluate.harness.inside`: the process that runs lm-eval. See process.py."""

import contextlib
import json
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from ...errors import UserError, with_code
from ...inference.pool import ModelPool
from ...inference.session import ChatSession
from ...jobs import failures
from ...runs import RunStore
from ...settings import Settings
from ...tasks.generate import context_of
from ...tasks.task import evaluating
from ..contestants import Contestant
from .results import result_of
from .tasks import TASKS, check_installed, known_tasks

BATCH = 8
LONGEST = 2048  # tokens that are read of a model that does not say how many it can
SAY_EVERY = 1.0  # seconds
Tell = Callable[..., None]


def main() -> int:
    """Returns the exit code. What libraries print goes into the log."""
    said = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    asked = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_the_worker, args=(sys.stdin,), daemon=True).start()

    def tell(**what: Any) -> None:
        said.write(json.dumps(what) + "\n")
        said.flush()

    try:
        _work(asked, tell)
    except Exception as error:  # the worker says what it was
        logging.exception("lm-eval failed")
        problem = error.problem if isinstance(error, UserError) else failures.explain(error)
        tell(problem=with_code({"sentence": problem}))
    return 0


def _end_with_the_worker(stdin: IO[str]) -> None:
    stdin.read()
    os._exit(1)


def _work(asked: dict[str, Any], tell: Tell) -> None:
    check_installed()
    import lm_eval

    contestant = Contestant.model_validate(asked["contestant"])
    tasks = known_tasks(asked["tasks"])
    manager = _manager(tasks)
    for task in tasks:
        tell(says=f"Getting the questions of {task}.")
        _fetch(manager, task)
    _close_the_network()
    tell(says=f"Loading {contestant.word}.")
    session = ModelPool().get(RunStore(Settings.from_environment().runs).get(contestant.run), contestant.checkpoint)
    if not session.task.is_chat:
        raise UserError(
            "evaluate.no_text_model",
            "{contestant} goes on with no text, so it has no letter that would come next.",
            contestant=contestant.word,
        )
    for task in tasks:
        with _progress(f"{contestant.word} on {task}", tell):
            model = _model(session)

            def measured(model: Any = model, task: str = task) -> Any:
                with evaluating(session.model, contestant.who == "base"):
                    return lm_eval.simple_evaluate(
                        model=model,
                        tasks=[task],
                        task_manager=manager,
                        num_fewshot=asked["shots"],
                        limit=asked["limit"],
                        bootstrap_iters=100,
                        log_samples=True,
                    )

            found = session.alone(measured)
        tell(result=asdict(result_of(task, found, len(model.cut))))


def _manager(tasks: tuple[str, ...]) -> Any:
    """Knows the YAML files of these tasks' folders in lm-eval, and no others."""
    import lm_eval
    from lm_eval.tasks import TaskManager

    logging.getLogger("lm_eval").setLevel(logging.WARNING)
    place = Path(lm_eval.__file__).parent / "tasks"
    folders = list(dict.fromkeys(str(place / TASKS[task].folder) for task in tasks))
    return TaskManager(include_path=folders, include_defaults=False)


def _fetch(manager: Any, task: str) -> None:
    """From the Hub's cache, or from the Hub."""
    try:
        manager.load([task])
    except Exception as error:  # of lm-eval, datasets, huggingface_hub, httpx: whatever is in the way
        logging.exception("No questions")
        raise UserError(
            "evaluate.no_task_data",
            "The questions of {task} are not on this machine, and the Hub did not give them ({kind}: {error}). Start "
            "it once where the Hub is reached; afterwards they are in its cache.",
            task=task,
            kind=type(error).__name__,
            error=str(error).strip()[:200],
        ) from error


def _close_the_network() -> None:
    """Nothing more is needed from the Hub."""
    import datasets.config
    from huggingface_hub import constants

    os.environ["HF_HUB_OFFLINE"] = "1"
    constants.HF_HUB_OFFLINE = datasets.config.HF_HUB_OFFLINE = True


def _model(session: ChatSession) -> Any:
    """The model in memory as lm-eval asks it. It counts what is longer than the model reads: lm-eval cuts that off."""
    from lm_eval.models.huggingface import HFLM

    class Counting(HFLM):  # type: ignore[misc]
        def _loglikelihood_tokens(self, requests: Any, *more: Any, **named: Any) -> Any:
            long = (texts for texts, before, after in requests if len(before) + len(after) > self.max_length + 1)
            self.cut.update(texts[0] for texts in long)
            return super()._loglikelihood_tokens(requests, *more, **named)

        def generate_until(self, requests: Any, *more: Any, **named: Any) -> Any:
            for one in requests:
                text, how = one.args
                room = self.max_length - how.get("max_gen_toks", self.max_gen_toks)
                if len(self.tok_encode(text)) > room:
                    self.cut.add(text)
            return super().generate_until(requests, *more, **named)

    longest = context_of(session.model) or LONGEST
    model = Counting(pretrained=session.model, tokenizer=session.tokenizer, batch_size=BATCH, max_length=longest)
    model.cut = set()
    return model


@contextlib.contextmanager
def _progress(what: str, tell: Tell) -> Iterator[None]:
    """lm-eval counts its requests with a bar; here they are said."""
    from lm_eval.models import huggingface

    class Bar:
        def __init__(self, items: Any = None, total: int = 0, **_: Any) -> None:
            self.items, self.total, self.done, self.last = items, total, 0, 0.0

        def __iter__(self) -> Iterator[Any]:
            return iter(self.items)

        def update(self, count: int = 1) -> None:
            self.done += count
            if time.monotonic() - self.last > SAY_EVERY:
                self.last = time.monotonic()
                tell(says=f"{what}: {self.done:,} of {self.total:,} requests")

        def close(self) -> None:
            pass

    before, huggingface.tqdm = huggingface.tqdm, Bar
    try:
        yield
    finally:
        huggingface.tqdm = before


if __name__ == "__main__":
    sys.exit(main())

"""How far a model is loaded, while it is."""

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

WEIGHTS = "Loading weights"  # what transformers calls the bar of those that are put in their places
Tell = Callable[[int, int], None]  # how many of how many


@contextlib.contextmanager
def weights_told(tell: Tell) -> Iterator[None]:
    """While it is open `tell` hears of the models that this thread loads how many of their tensors are there."""
    from transformers.utils import logging

    mine = threading.get_ident()

    def made(factory: Callable[..., Any], given: tuple[Any, ...], named: dict[str, Any]) -> Any:
        if named.get("desc") == WEIGHTS and threading.get_ident() == mine:
            return _counted(given[0], tell)
        return factory(*given, **named) if before is None else before(factory, given, named)

    before = logging.set_tqdm_hook(made)
    try:
        yield
    finally:
        logging.set_tqdm_hook(before)


def _counted(weights: Iterable[Any], tell: Tell) -> Iterator[Any]:
    all_of_them = list(weights)
    for done, one in enumerate(all_of_them):
        tell(done, len(all_of_them))
        yield one
    tell(len(all_of_them), len(all_of_them))

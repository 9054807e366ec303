"""What one folder holds may cost that folder its place on the page, and nothing else."""

import logging
from collections.abc import Callable
from typing import TypeVar

from ..errors import Problem, UserError

Shown = TypeVar("Shown")
log = logging.getLogger(__name__)


def safely(make: Callable[[], Shown], otherwise: Callable[[Problem], Shown]) -> Shown:
    """What `make` makes of one thing of a list, or what `otherwise` makes of the sentence that says why it cannot."""
    try:
        return make()
    except UserError as error:
        return otherwise(error.problem)
    except Exception:  # folders are anybody's: the others are shown all the same, and the terminal says what it was
        log.exception("Something of a folder cannot be shown")
        return otherwise(NOT_SHOWN)


NOT_SHOWN = Problem(
    "page.not_shown",
    "Something in this folder cannot be shown. The terminal of the app says what; delete it if you do not need it.",
)

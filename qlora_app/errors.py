"""Errors a person can act on."""


class UserError(Exception):
    """What went wrong and what to do about it, in words the person can act on.

    `problems` maps the dotted name of a setting to its sentence, so that a form can show each at its own field.
    """

    def __init__(self, message: str, problems: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.problems = problems or {}


class Stopped(Exception):
    """Somebody asked for an end of the work. What is there by then is kept."""

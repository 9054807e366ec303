"""What a run costs on machines of Hugging Face: said before it is begun, and as it was afterwards."""

import time
from dataclasses import dataclass
from typing import Any

from ..errors import UserError
from ..formatting import duration
from ..place import Place
from ..settings import Settings

USUAL_LIMIT = 120  # minutes, where a recipe names none: a job always has a limit
FRESH = 600.0  # seconds that prices are believed
UNITS = {"second": 1 / 60, "minute": 1.0, "hour": 60.0}  # minutes
_KNOWN: dict[str, tuple[float, dict[str, "Machine"]]] = {}


@dataclass(frozen=True)
class Machine:
    """One that can be rented. dollars: a minute."""

    name: str
    title: str
    dollars: float
    accelerators: int
    memory: str = ""


def limit_of(place: Place) -> int:
    """Minutes."""
    return place.minutes or USUAL_LIMIT


def explained(error: Exception) -> UserError:
    """What the API of jobs refuses, as a sentence."""
    from huggingface_hub.errors import HfHubHTTPError

    if isinstance(error, UserError):
        return error
    status = error.response.status_code if isinstance(error, HfHubHTTPError) else 0
    reason = " ".join(str(error).split())[:300]
    if status in (401, 403):
        return UserError(
            "rent.denied",
            "Hugging Face refuses the token for jobs ({reason}). It must be allowed to write and to start jobs.",
            reason=reason,
        )
    if status == 402:
        return UserError(
            "rent.no_credit",
            "There is no credit for it ({reason}). Add some at huggingface.co/settings/billing, or train here.",
            reason=reason,
        )
    if 400 <= status < 500 and status != 429:
        return UserError("rent.refused", "Hugging Face Jobs refuses it: {reason}", reason=reason)
    return UserError("rent.no_answer", "Hugging Face Jobs does not answer ({reason}).", reason=reason)


def machines(settings: Settings) -> dict[str, Machine]:
    """Those that can be rented now, by name, as the Hub lists them. Raises UserError where it does not answer."""
    from huggingface_hub import HfApi

    api: Any = HfApi(token=settings.token or False)
    asked_at, known = _KNOWN.get(api.endpoint, (0.0, {}))
    if not known or time.monotonic() - asked_at > FRESH:
        try:
            known = {one.name: _machine(one) for one in api.list_jobs_hardware()}
        except Exception as error:  # whatever the network does, the person gets a sentence
            raise explained(error) from error
        _KNOWN[api.endpoint] = (time.monotonic(), known)
    return known


def _machine(known: Any) -> Machine:
    per_minute = known.unit_cost_usd / UNITS.get(known.unit_label, 1.0)
    card = known.accelerator
    count = int(card.quantity) if card and str(card.quantity).isdecimal() else int(card is not None)
    return Machine(known.name, known.pretty_name, per_minute, count, str(card.vram) if card else "")


def price_of(place: Place, settings: Settings) -> Machine:
    """The machine of a place. Raises UserError where there is none of that name, or prices cannot be had."""
    known = machines(settings)
    if place.flavor not in known:
        raise UserError(
            "rent.no_such_machine",
            "Hugging Face has no machine {flavor}. There are: {known}.",
            flavor=place.flavor,
            known=", ".join(sorted(known, key=lambda name: known[name].dollars)),
        )
    return known[place.flavor]


def price_words(place: Place, settings: Settings, seconds: float | None = None) -> str:
    """What it costs, before it is begun. seconds: how long it would take on this machine. Raises UserError."""
    machine, minutes = price_of(place, settings), limit_of(place)
    most = machine.dollars * minutes
    an_hour = _figure(machine.dollars * 60)
    words = f"{machine.title}: ${an_hour} an hour, at most ${_figure(most)} (ended after {minutes} min)."
    if seconds is None:
        return words
    here = machine.dollars * seconds / 60
    return (
        f"{words} If it trained as fast as here ({duration(seconds)}): ${_figure(here)}, and some minutes to set it up."
    )


def _figure(dollars: float) -> str:
    return f"{dollars:.2f}" if dollars >= 0.1 or dollars == 0 else f"{dollars:.2g}"


def dollars_of(info: Any, before: float, api: Any) -> float:
    """What a job has cost so far, by its own durations; starting counts too. `before`: where that cannot be said."""
    durations = info.durations
    seconds = (durations.total_secs or durations.running_secs or 0) if durations else 0
    known = _KNOWN.get(api.endpoint, (0.0, {}))[1].get(str(getattr(info.flavor, "value", info.flavor)))
    return round(known.dollars * seconds / 60, 4) if known and seconds else before

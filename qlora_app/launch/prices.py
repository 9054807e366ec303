"""What a run costs on machines of Hugging Face: said before it is begun, and as it was afterwards."""

import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from ..errors import Problem, UserError
from ..formatting import duration
from ..place import Place
from ..settings import Settings
from .beside import beside

USUAL_LIMIT = 120  # minutes, where a recipe names none: a job always has a limit
FRESH = 600.0  # seconds that prices are believed
WITHIN = 20.0  # seconds until prices that do not come are called missing
AGAIN = 20.0  # seconds until prices that could not be had are asked for again
UNITS = {"second": 1 / 60, "minute": 1.0, "hour": 60.0}  # minutes
_KNOWN: dict[str, tuple[float, dict[str, "Machine"]]] = {}
_ASKED: dict[str | None, tuple[float, "Future[None]"]] = {}  # {token: (when, what came of it)}


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
    api = _api(settings)
    known = _fresh(api)
    if not known:
        try:
            known = {one.name: _machine(one) for one in api.list_jobs_hardware()}
        except Exception as error:  # whatever the network does, the person gets a sentence
            raise explained(error) from error
        _KNOWN[api.endpoint] = (time.monotonic(), known)
    return known


def _api(settings: Settings) -> Any:
    from huggingface_hub import HfApi

    return HfApi(token=settings.token or False)


def _fresh(api: Any) -> dict[str, Machine]:
    """What was asked for not long ago; empty else."""
    asked_at, known = _KNOWN.get(api.endpoint, (0.0, {}))
    return known if time.monotonic() - asked_at <= FRESH else {}


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


def price_words(place: Place, settings: Settings, seconds: float | None = None) -> Problem:
    """What it costs, before it is begun. seconds: how long it would take on this machine. Raises UserError."""
    machine, minutes = price_of(place, settings), limit_of(place)
    words = Problem(
        "rent.price",
        "{title}: ${hour} an hour, at most ${most} (ended after {minutes} min).",
        title=machine.title,
        hour=_figure(machine.dollars * 60),
        most=_figure(machine.dollars * minutes),
        minutes=minutes,
    )
    if seconds is None:
        return words
    return Problem(
        "rent.price_as_here",
        "{price} If it trained as fast as here ({time}): ${here}, and some minutes to set it up.",
        price=words,
        time=duration(seconds),
        here=_figure(machine.dollars * seconds / 60),
    )


def price_of_all(places: Sequence[Place], settings: Settings) -> Problem | None:
    """What several runs cost at most, before they are begun; None where none is at a place that has prices. Raises
    UserError.
    """
    priced = [place for place in places if place.where == "hf_jobs"]
    if not priced:
        return None
    first = price_words(priced[0], settings)
    if len(priced) == 1:
        return first
    most = sum(price_of(place, settings).dollars * limit_of(place) for place in priced)
    return Problem(
        "rent.price_of_all",
        "{count} runs on rented machines: at most ${most} together. {price}",
        count=len(priced),
        most=_figure(most),
        price=first,
    )


def price_now(place: Place, settings: Settings, seconds: float | None = None) -> Problem | None:
    """The same for who cannot wait: None while prices are asked for, beside them. Raises UserError where they could not
    be had, or do not come; then they are asked for again after a while.
    """
    if not _fresh(_api(settings)):
        asked_at, answer = _ASKED.get(settings.token, (0.0, None))
        waited = time.monotonic() - asked_at
        if answer is None or waited > (AGAIN if answer.done() else 2 * WITHIN):
            waited, answer = 0.0, beside(lambda: _ask(settings))
            _ASKED[settings.token] = (time.monotonic(), answer)
        if not answer.done():
            if waited > WITHIN:
                raise explained(TimeoutError(f"nothing in {waited:.0f} s"))
            return None
        answer.result()  # raises what it failed with
    return price_words(place, settings, seconds)


def _ask(settings: Settings) -> None:
    machines(settings)


def check_price(place: Place, settings: Settings) -> None:
    """Raises UserError at its setting where it is not known what a run at a place that has prices would cost."""
    if place.where != "hf_jobs":
        return
    try:
        is_known = price_now(place, settings) is not None
    except UserError as error:
        raise UserError.of(error.problem, {"launch.flavor": error.problem}) from error
    if not is_known:
        raise UserError.at(
            "launch.flavor", "rent.price_awaited", "What it costs is still being asked for. Start it again in a moment."
        )


def check_agreed(place: Place, settings: Settings, most_dollars: float) -> None:
    """Raises UserError with the price where that may be more than somebody agreed to, or is not known."""
    if place.where != "hf_jobs":
        return
    most = price_of(place, settings).dollars * limit_of(place)
    if not most <= most_dollars:
        raise UserError(
            "rent.not_agreed",
            "Nothing was begun. {price} Ask whoever pays, then call again with most_dollars={most}.",
            price=price_words(place, settings),
            most=f"{most + 0.005:.2f}",
        )


def _figure(dollars: float) -> str:
    return f"{dollars:.2f}" if dollars >= 0.1 or dollars == 0 else f"{dollars:.2g}"


def dollars_of(info: Any, before: float, api: Any) -> float:
    """What a job has cost so far, by its own durations; starting counts too. `before`: where that cannot be said."""
    durations = info.durations
    seconds = (durations.total_secs or durations.running_secs or 0) if durations else 0
    known = _KNOWN.get(api.endpoint, (0.0, {}))[1].get(str(getattr(info.flavor, "value", info.flavor)))
    return round(known.dollars * seconds / 60, 4) if known and seconds else before

"""Every way of getting nothing from the Hub as a sentence with the next step."""

import errno
from typing import Any

from ..errors import Problem, UserError
from ..storage.outside import own_home
from .repository import Repository


class HubUnavailable(UserError):
    """The Hub does not give it, for whatever reason: a copy on this machine has to do, where there is one."""


def explain(error: BaseException, asked: Repository | None, has_token: bool = False) -> UserError:
    """Each way of getting nothing from the Hub as a sentence with the next step; `asked` is None for a search."""
    from huggingface_hub import constants, errors

    if isinstance(error, UserError):
        return error
    id = where = ""
    if asked:
        id, where = asked.id, f"{constants.ENDPOINT}/{asked.path}"
    if isinstance(error, errors.LocalEntryNotFoundError) and error.__cause__ is not None:
        return explain(error.__cause__, asked, has_token)
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return UserError(
            "hub.disk_full",
            "The disk is full: {id} does not fit into {folder}. What has arrived is kept. Free some space, or "
            "set HF_HOME to a folder on a larger disk, then press Resume.",
            id=id,
            folder=constants.HF_HUB_CACHE,
        )
    if isinstance(error, errors.GatedRepoError):
        return HubUnavailable.of(_gated(id, where, has_token))
    if isinstance(error, errors.RevisionNotFoundError):
        return HubUnavailable(
            "hub.no_revision",
            "{id} has no revision {revision}. Leave the revision empty to take its main branch, or look for the "
            "right name at {where}/tree/main.",
            id=id,
            revision=(asked and asked.revision) or "main",
            where=where,
        )
    if isinstance(error, errors.HfHubHTTPError):
        return _refused(error, id, has_token)
    what = id or Problem("hub.the_search", "The search")
    if isinstance(error, errors.OfflineModeIsEnabled):
        return HubUnavailable(
            "hub.offline",
            "{what} needs the Hub, and offline mode is on. Unset HF_HUB_OFFLINE and start the app again, or "
            "choose one that is on this machine.",
            what=what,
        )
    if isinstance(error, errors.HTTPError):  # of httpx: no connection, no answer in time, a connection that broke
        return HubUnavailable(
            "hub.not_reached",
            "{what} needs the Hub, which cannot be reached ({kind} at {endpoint}). Check the network and try "
            "again; a download goes on where it ended.",
            what=what,
            kind=type(error).__name__,
            endpoint=constants.ENDPOINT,
        )
    return HubUnavailable(
        "hub.strange_answer",
        "The Hub gave an answer that makes no sense for {id} ({kind}: {error}). Try again later.",
        id=id or Problem("hub.for_the_search", "the search"),
        kind=type(error).__name__,
        error=str(error)[:120],
    )


def _gated(id: str, where: str, has_token: bool) -> Problem:
    from huggingface_hub import constants

    if has_token:
        return Problem(
            "hub.gated_not_accepted",
            "{id} is gated, and the account of your token is not on its list yet. Open {where}, accept its terms "
            "(some authors answer by hand, which takes a while), then try again.",
            id=id,
            where=where,
        )
    return Problem(
        "hub.gated",
        "{id} is gated: its authors want you to accept their terms first. Open {where} and accept them, make "
        "a token at {endpoint}/settings/tokens, {give}.",
        id=id,
        where=where,
        endpoint=constants.ENDPOINT,
        give=giving_it(),
    )


def giving_it() -> Problem:
    """What is done with a token that was made: the owner's is a setting, a member's lies in their home."""
    if own_home() is not None:
        return Problem("hub.give_own_token", 'then keep it under "Your account"')
    return Problem("hub.give_token", "set QLORA_APP_HUB_TOKEN to it and start the app again")


def _refused(error: Any, id: str, has_token: bool) -> HubUnavailable:
    """The Hub's answers with a status code.

    Without a token it does not tell a private model from one that does not exist.
    """
    from huggingface_hub.errors import RepositoryNotFoundError

    status = error.response.status_code
    if status == 401 and has_token:
        return HubUnavailable(
            "hub.token_refused",
            "The Hub does not accept the token. It may have expired: make a new one, {give}.",
            give=giving_it(),
        )
    if status == 401:
        return HubUnavailable(
            "hub.private_or_missing",
            "{id} is private, or there is nothing of that name: without a token the Hub does not say which. "
            "Check the spelling; if it is yours, make a token that may read it, {give}.",
            id=id,
            give=giving_it(),
        )
    if isinstance(error, RepositoryNotFoundError) or status == 404:
        return HubUnavailable(
            "hub.not_found",
            "The Hub has nothing called {id} that can be read here. Check the spelling: an id looks like owner/name.",
            id=id,
        )
    if status == 403:
        return HubUnavailable(
            "hub.token_may_not",
            "The token may not read {id}. Give it the permission to read this repository "
            "(fine-grained tokens name each), or make another.",
            id=id,
        )
    if status == 429:
        return HubUnavailable(
            "hub.too_many_requests",
            "The Hub asks for a pause, because too many requests came from here. Wait five minutes and try "
            "again; with a token it allows more.",
        )
    return HubUnavailable(
        "hub.no_answer",
        "The Hub cannot answer at the moment (error {status}). Try again in a few minutes.",
        status=status,
    )

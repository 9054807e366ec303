"""Kinds of rows that programs export, and other ways to write turns."""

from .annotations import ANNOTATIONS
from .assistants import (
    chatgpt,
    claude,
    is_chatgpt,
    is_claude,
    is_openai_preference,
    is_request,
    is_scored,
    openai_preference,
    request,
    scored,
)
from .comprehension import comprehension, comprehension_columns, is_comprehension
from .kind import Kind
from .people import PEOPLE, is_message, is_name, message_columns, message_turn
from .speakers import (
    exchange_columns,
    exchange_names,
    exchanges,
    has_exchanges,
    has_reply,
    has_speakers,
    in_turns,
    is_exchange,
    one_exchange,
    reply_columns,
    spoken,
    spoken_columns,
    takes_turns,
    turn_columns,
    with_reply,
)

NAMES_OF_USERS = "people_names"

EXPORTS = (
    Kind(
        PEOPLE,
        "Chats of people",
        is_message,
        message_columns,
        message_turn,
        "rows are messages with who wrote them and when",
        opens=False,
    ),
    Kind(NAMES_OF_USERS, "a list of users", is_name),
    Kind(
        "chatgpt",
        "ChatGPT export",
        is_chatgpt,
        lambda row: ("mapping", "mapping"),
        chatgpt,
        "{user} holds a tree of messages",
        opens=False,
    ),
    Kind(
        "claude",
        "Claude export",
        is_claude,
        lambda row: ("chat_messages", "chat_messages"),
        claude,
        "rows have {user}",
        opens=False,
    ),
    Kind(
        "openai_preference",
        "Preferences (OpenAI)",
        is_openai_preference,
        lambda row: ("input", "preferred_output"),
        openai_preference,
        note="Of two answers `preferred_output` is learned; `non_preferred_output` is not used.",
        opens=False,
    ),
    Kind(
        "api_requests",
        "Requests with responses (OpenAI)",
        is_request,
        lambda row: (next((name for name in ("request", "body", "input", "kwargs") if name in row), None), "response"),
        request,
        "rows hold requests to an API and what it answered",
        opens=False,
    ),
    Kind(
        "gemini_preference",
        "Preferences (Gemini)",
        is_scored,
        lambda row: ("contents", "completions"),
        scored,
        note="Of several `completions` the one with the highest score is learned; the others are not used.",
    ),
    *ANNOTATIONS,
    Kind(
        "squad",
        "Reading comprehension (SQuAD)",
        is_comprehension,
        comprehension_columns,
        comprehension,
        answers=True,
    ),
)
OTHER_TURNS = (
    Kind(
        "exchanges",
        "Turns of question and answer",
        has_exchanges,
        exchange_columns,
        exchanges,
        "the objects in {user} ask and answer",
    ),
    Kind(
        "user_assistant",
        "User and assistant",
        is_exchange,
        exchange_names,
        one_exchange,
        answers=True,
    ),
    Kind(
        "speakers",
        "Turns with speakers",
        has_speakers,
        spoken_columns,
        spoken,
        "the turns in {user} say who speaks",
    ),
    Kind(
        "history_response",
        "Dialogues with a reply",
        has_reply,
        reply_columns,
        with_reply,
    ),
    Kind(
        "turn_texts",
        "Texts that take turns",
        takes_turns,
        turn_columns,
        in_turns,
        "{user} is a list of texts",
    ),
)

"""Chats of people: what one message says, who wrote it and when; and conversations of them, in which one answers."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timezone
from typing import Any, NamedTuple

from ...messages import Message
from .row_view import Reading
from .turns import ROLES, Columns, RowError, is_blank, text_of

PEOPLE = "people"
LONGEST = 4000  # characters, about 1,000 tokens: after so many the next message that asks begins a conversation
_NAMED_BY = (
    "from",
    "sender_name",
    "sender",
    "author",
    "creator",
    "user",
    "username",
    "user_name",
    "from_user",
    "nickname",
)
SENT = (
    "date",
    "timestamp_ms",
    "timestamp",
    "ts",
    "created_date",
    "origin_server_ts",
    "originalarrivaltime",
    "datetime",
    "time",
    "sent_at",
    "created_at",
)
_SAYS = ("text", "content", "message", "body")
_NAMES = ("nickname", "global_name", "displayname", "display_name", "real_name", "name", "username", "email", "id")
# A message of Telegram, DiscordChatExporter, Slack, Messenger and Instagram, Google Chat, Matrix, Skype has these.
_SIGNS = (
    {"type", "date", "from_id"},
    {"type", "date", "actor"},
    {"type", "date", "action"},
    {"type", "timestamp", "author", "content"},
    {"type", "ts", "text"},
    {"sender_name", "timestamp_ms"},
    {"creator", "created_date"},
    {"sender", "origin_server_ts", "content"},
    {"originalarrivaltime", "from", "content"},
    {"date", "event"},
)
# All that a table of messages has; with another column it is a table of something else.
_OF_TABLES = {
    *(*_NAMED_BY, *SENT, *_SAYS),
    *("id", "message_id", "chat", "channel", "room", "thread", "conversation_id", "attachments", "reactions"),
    *("authorid", "author_id", "sender_id", "user_id", "type", "to", "recipient", "media", "edited", "deleted"),
}
# What every message of an app has, and nobody wrote.
_QUIET = {
    *("id", "type", "chat", "date_unixtime", "actor_id", "from_id", "text_entities", "ts", "thread_ts", "user"),
    *("client_msg_id", "team", "user_team", "source_team", "user_profile", "blocks", "ispinned", "color"),
    *("reply_count", "reply_users", "reply_users_count", "latest_reply", "replies", "subscribed", "last_read"),
    *("parent_user_id", "is_locked", "bot_id", "bot_profile", "app_id", "subtype", "topic_id", "message_id"),
    *("is_geoblocked_for_viewer", "is_unsent_image_by_messenger_kid_parent", "authorid", "edited_unixtime", "upload"),
    *("display_as_bot", "event_id", "displayname", "conversationid", "messagetype", "version", "mentions"),
    *("inlineemojis", "timestampedited", "from_name"),
}
_DISCORD_TYPES = {"default", "reply", "0", "19", "threadstartermessage"}
_SLACK_TYPES = {"bot_message", "me_message", "thread_broadcast", "file_share", "file_comment"}
_BETWEEN_ANGLES = re.compile(r"<[^<>\n]{3,60}>")  # <Media omitted>, in any language
# <This message was edited>
_EDITED = re.compile(
    "\\s*(\u200e\\s*<[^<>\\n]+>|<[^<>\\n]*(edited|bearbeitet|modifié|editado|editada|editó|modificato|bewerkt|изменено|"
    "düzenlendi|redigeret|redigerat|edytowan)[^<>\\n]*>)$"
)
_DELETED = re.compile(
    r"(this message was deleted|you deleted this message|diese nachricht wurde gelöscht|du hast diese nachricht "
    r"gelöscht|ce message a été supprimé|vous avez supprimé ce message|se eliminó este mensaje|eliminaste este mensaje|"
    r"essa mensagem foi apagada|mensagem apagada|questo messaggio è stato eliminato|hai eliminato questo messaggio|"
    r"dit bericht is verwijderd|данное сообщение удалено|bu mesaj silindi|null)\.?",
    re.IGNORECASE,
)
_ATTACHED = re.compile(r"\S[^\n]{0,80}\.\w{2,5} \([^()\n]{4,40}\)")  # IMG-1.jpg (file attached)
_MARKS = re.compile("[\u200e\u200f\u202a-\u202c\u2066-\u2069\ufeff]")
_SLACK = re.compile(r"<([@#!]?)([^<>|\n]*)(?:\|([^<>\n]*))?>")
_ANSWERING = re.compile(
    r"\b(bot|assistant|support|agent|service|helpdesk|ai|chatgpt|gpt|claude|gemini|system|wizard|operator|expert|"
    r"doctor|physician|therapist|counsell?or|teacher|tutor|advisor|recommender|helper|clerk|guide|lawyer|"
    r"arzt|ärztin|lehrer|lehrerin|berater|beraterin|kundendienst|médecin|profesor|doutor)\b|bot\b"
)


class Said(NamedTuple):
    """One message: number and line of its row, where it was written, by whom, when (in seconds, and whether that is
    exact), and what it says.
    """

    number: int
    line: int | None
    chat: str
    who: str
    when: float
    is_exact: bool
    text: str


# ---- one message


def is_message(row: Columns) -> bool:
    """Is a row a message that somebody sent at some time?"""
    keys = row.keys()
    if any([sign <= keys for sign in _SIGNS]):
        return "role" not in keys
    has_all = not (keys.isdisjoint(_NAMED_BY) or keys.isdisjoint(SENT) or keys.isdisjoint(_SAYS))
    return has_all and keys <= _OF_TABLES


def message_columns(row: Columns) -> tuple[str | None, str | None]:
    name = next((name for name in _SAYS if name in row), None)
    return name, name


def is_name(row: Columns) -> bool:
    """Is a row of Slack's list of users?"""
    return {"id", "profile", "name"} <= row.keys() and isinstance(row["profile"], dict)


def name_of_user(row: Columns) -> tuple[str, str]:
    """(id, name) of one user of Slack."""
    profile = row["profile"]
    names = (profile.get("display_name"), profile.get("real_name"), row.get("real_name"), row["name"])
    return str(row["id"]), next((str(name) for name in names if name), str(row["id"]))


def said_in(row: Reading, number: int = 0, line: int | None = None, chat: str = "") -> Said:
    """The message of a row. Raises RowError for lines of the app, and for what is no text."""
    row.taken |= _QUIET
    _refuse_lines_of_the_app(row)
    text = _text(row)
    time_key = next((name for name in SENT if row.peek(name) is not None), None)
    if time_key is None:
        raise RowError("it has no time")
    when, is_exact = seconds(row[time_key])
    place = str(row.peek("chat") or row.peek("channel") or row.peek("room") or chat)
    thread = row.peek("thread_ts")
    if thread is not None:
        place = f"{place} {thread}"
    row.taken |= {"chat", "channel", "room"}
    return Said(number, line, place, _name(row), when, is_exact, text)


def message_turn(row: Reading) -> list[Message]:
    """One message as a question to the person who answers. Raises RowError where it is that person's own."""
    said = said_in(row)
    if row.answers_by and answers(said.who, row.answers_by):
        raise RowError(f"it is what {said.who} says, who answers")
    return [{"role": "user", "content": said.text}]


def _refuse_lines_of_the_app(row: Reading) -> None:
    kind = str(row.peek("type") or "").lower()
    action = row.peek("event") or row.peek("action") or row.peek("subtype")
    is_of_discord = isinstance(row.peek("author"), dict)
    is_line = (
        "event" in row
        or "action" in row
        or (action is not None and str(action) not in _SLACK_TYPES)
        or (is_of_discord and kind not in _DISCORD_TYPES)
        or kind == "service"
        or row.peek("is_unsent") is True
    )
    if is_line:
        raise RowError("it is a line of the app, not of a person")


def _text(row: Reading) -> str:
    key = next((name for name in _SAYS if row.peek(name) is not None), None)
    value = "" if key is None else row[key]
    if isinstance(value, dict):  # Matrix
        is_words = value.get("msgtype", "m.text") in ("m.text", "m.notice", "m.emote")
        value = value.get("body", "") if is_words else ""
    if isinstance(value, list):  # Telegram: texts and marked texts
        value = "".join([str(part.get("text", "")) if isinstance(part, dict) else str(part) for part in value])
    text = text_of(value, key or "text")
    if "sender_name" in row:
        text = _repaired(text)
    if "ts" in row:
        text = _without_slack_marks(text)
    text = without_media(text)
    if is_blank(text):
        raise RowError("it has no text (a picture, a file, a sticker, a call, or a message that was deleted)")
    return text


def without_media(text: str) -> str:
    """A message without what stands for a picture or a file; empty where it says nothing else."""
    if text.startswith("\u200e"):  # the app wrote it, not the person
        return ""
    first, _, rest = text.partition("\n")
    text = _MARKS.sub("", _EDITED.sub("", text)).strip()
    if _ATTACHED.fullmatch(_MARKS.sub("", first).strip()):
        text = rest.strip()
    if _BETWEEN_ANGLES.fullmatch(text) or _DELETED.fullmatch(text):
        return ""
    return text


def _repaired(text: str) -> str:
    """Messenger and Instagram write the bytes of UTF-8 as if they were letters."""
    try:
        return text.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return text


def _without_slack_marks(text: str) -> str:
    def shown(mark: re.Match[str]) -> str:
        sign, target, label = mark.groups()
        if sign == "!":
            return f"@{target.partition('^')[0]}"
        return f"{sign}{label or target}"

    text = _SLACK.sub(shown, text)
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def _name(row: Reading) -> str:
    key = next((name for name in (*_NAMED_BY, "from_id", "bot_id") if row.peek(name) is not None), None)
    value = "" if key is None else row[key]
    if key == "user" and isinstance(row.peek("user_profile"), dict):
        value = row["user_profile"]
    if row.peek("displayname") and key == "from":
        value = row["displayname"]
    if isinstance(value, dict):
        value = next((value[name] for name in _NAMES if value.get(name)), "")
    name = clean_name(_repaired(str(value)) if "sender_name" in row else str(value))
    if not name:
        raise RowError("it does not say who wrote it")
    return name


def clean_name(name: str) -> str:
    """A person's name without the marks of an app."""
    return _MARKS.sub("", name).replace("\u202f", " ").replace("\xa0", " ").strip().removeprefix("~").strip()


# ---- times

_WRITTEN = (
    "%Y-%m-%d %H:%M",
    "%d/%m/%Y %H:%M",
    "%d/%m/%Y %H:%M:%S",
    "%d.%m.%Y %H:%M",
    "%d.%m.%Y %H:%M:%S",
    "%m/%d/%Y %H:%M",
    "%m/%d/%Y %I:%M %p",
    "%m/%d/%y %I:%M %p",
    "%d-%b-%y %H:%M",
    "%m/%d/%Y %I:%M:%S %p",
    "%d-%b-%y %I:%M %p",
    "%A, %B %d, %Y at %I:%M:%S %p UTC",
    "%A, %d %B %Y at %H:%M:%S UTC",
    "%b %d, %Y %I:%M:%S %p",
    "%b %d, %Y, %I:%M:%S %p",
)


def seconds(value: Any) -> tuple[float, bool]:
    """(a time in seconds, whether no clock that was put back can be in it). Raises RowError."""
    text = str(value).strip().replace("\u202f", " ")
    if re.fullmatch(r"\d{9,20}(\.\d+)?", text):
        number = float(text)
        while number > 1e11:  # milliseconds, microseconds
            number /= 1000
        return number, True
    made = _moment(text)
    if made is None:
        raise RowError(f"its time {text[:30]!r} cannot be read")
    if made.tzinfo is None:
        return made.replace(tzinfo=timezone.utc).timestamp(), False
    return made.timestamp(), True


def _moment(text: str) -> datetime | None:
    for read in (datetime.fromisoformat, *(_reader(form) for form in _WRITTEN)):
        try:
            return read(text)
        except ValueError:
            continue
    return None


def _reader(form: str) -> Any:
    return lambda text: datetime.strptime(text, form)


# ---- conversations


def answers(name: str, answers_by: str) -> bool:
    """Is a person the one who answers, or one of several with commas between?"""
    folded, wanted = name.casefold(), clean_name(answers_by).casefold()
    return folded == wanted or folded in [one.strip() for one in wanted.split(",")]


def conversations_of(
    messages: Iterable[Said], answers_by: str, silence_hours: float
) -> Iterator[tuple[list[Said], list[Message]]]:
    """(messages that belong together, their turns): of one chat, with no silence longer than that, and not much longer
    than one example. Names stand before what people say where several write beside the one who answers.
    """
    chats: dict[str, list[Said]] = defaultdict(list)
    for said in messages:
        chats[said.chat].append(said)
    for chat in chats.values():
        others = {said.who for said in chat if not answers(said.who, answers_by)}
        for part in _apart(_in_order(chat), answers_by, silence_hours):
            yield part, _turns(part, answers_by, len(others) > 1)


def _in_order(chat: list[Said]) -> list[Said]:
    if all([said.is_exact for said in chat]):
        return sorted(chat, key=lambda said: said.when)
    if chat[0].when > chat[-1].when:  # the newest stands first
        return chat[::-1]
    return chat


def _apart(chat: list[Said], answers_by: str, silence_hours: float) -> Iterator[list[Said]]:
    part: list[Said] = []
    size = 0
    for said in chat:
        is_late = bool(part) and said.when - part[-1].when > silence_hours * 3600
        asks_anew = bool(part) and answers(part[-1].who, answers_by) and not answers(said.who, answers_by)
        if is_late or (asks_anew and size > LONGEST):
            yield part
            part, size = [], 0
        part.append(said)
        size += len(said.text)
    yield part


def _turns(part: list[Said], answers_by: str, with_names: bool) -> list[Message]:
    turns: list[Message] = []
    last = ""
    for said in part:
        role: Any = "assistant" if answers(said.who, answers_by) else "user"
        text = said.text
        if with_names and role == "user" and said.who != last:
            text = f"{said.who}: {text}"
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"] += f"\n{text}"
        else:
            turns.append({"role": role, "content": text})
        last = said.who
    return turns


# ---- who could answer


def likeliest(messages: Sequence[Said]) -> str:
    """Who probably is meant to answer: somebody with the name of a helper, the only one who is in every chat, the one
    whom the chat is not named after, or the one who replies most. Empty without messages.
    """
    chats: dict[str, set[str]] = defaultdict(set)
    replies: Counter[str] = Counter()
    last: dict[str, str] = {}
    for said in messages:
        chats[said.chat].add(said.who)
        replies[said.who] += said.chat in last and last[said.chat] != said.who
        last[said.chat] = said.who
    return likeliest_of(replies, chats)


def likeliest_of(replies: Counter[str], chats: dict[str, set[str]]) -> str:
    """As `likeliest`, from how often each replies and who is in which chat."""
    names = [name for name, _ in replies.most_common()]
    for name in names:
        if ROLES.get(name.lower()) == "assistant" or _ANSWERING.search(name.lower()):
            return name
    everywhere = [name for name in names if all(name in people for people in chats.values())]
    if len(chats) > 1 and len(everywhere) == 1:
        return everywhere[0]
    unnamed = [name for name in names if not any(name.casefold() in chat.casefold() for chat in chats)]
    if len(names) == 2 and len(unnamed) == 1:
        return unnamed[0]
    return next(iter(names), "")

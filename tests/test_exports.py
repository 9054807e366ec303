"""Exports of programs, drawn at random in every way they are written: they are recognised, and give exactly the
conversations that were meant.
"""

import json
import zipfile
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qlora_app.training_data.conversations import read_file
from qlora_app.training_data.formats.columns import AskWho, ColumnMap
from qlora_app.training_data.formats.turns import RowError
from qlora_app.training_data.questions import detector_of, question_of
from tests.test_questions import said

BEGIN = datetime(2024, 1, 29, 9, 30)
WORDS = st.text("abc dxyzäß: ,.!?ё日", min_size=1, max_size=25).map(lambda text: f"w{text.strip()}w")
NAMES = st.lists(
    st.sampled_from(["Ann", "Bob Lee", "Zoë", "+49 170 1234567", "Дина", "李雷", "O'Neil", "Dr. K"]),
    unique=True,
    min_size=2,
)
QUICK = settings(max_examples=12)


@st.composite
def talks(draw, most_people=2):
    """People, and what they say to each other: (who by number, minutes since the message before, text)."""
    people = draw(NAMES)[:most_people]
    count = draw(st.integers(4, 14))
    who = [draw(st.integers(0, len(people) - 1)) for _ in range(count)]
    who[:2] = [0, 1]  # both say something
    pauses = [draw(st.sampled_from([0, 1, 7, 59, 239, 241, 3000])) for _ in range(count)]
    texts = [draw(WORDS) for _ in range(count)]
    return people, list(zip(who, pauses, texts, strict=True))


def meant(people, talk, answerer):
    """The conversations that are to be learned: written once more, from the words of docs/data.md."""
    parts, current = [], []
    for who, pause, text in talk:
        if current and pause > 4 * 60:
            parts.append(current)
            current = []
        current.append((who, text))
    parts.append(current)
    conversations = []
    many = len({who for who, _, _ in talk if who != answerer}) > 1
    for part in parts:
        turns, last = [], None
        for who, text in part:
            role = "assistant" if who == answerer else "user"
            words = f"{people[who]}: {text}" if many and role == "user" and who != last else text
            if turns and turns[-1]["role"] == role:
                turns[-1]["content"] += f"\n{words}"
            else:
                turns.append(said(role, words))
            last = who
        while turns and turns[0]["role"] == "assistant":
            turns.pop(0)
        while turns and turns[-1]["role"] == "user":
            turns.pop()
        if turns:
            conversations.append(turns)
    return conversations


def times(talk):
    when = BEGIN
    for _, pause, _ in talk:
        when += timedelta(minutes=pause)
        yield when


def check(file, people, talk, left_out=None):
    """It asks who answers, offers everybody with the number of messages, and learns what was meant of either."""
    with pytest.raises(AskWho) as asked:
        read_file(file, file.name)
    counts = {people[who]: sum(one == who for one, _, _ in talk) for who, _, _ in talk}
    assert asked.value.people == counts and asked.value.guess in counts
    for answerer in {who for who, _, _ in talk}:
        wanted = meant(people, talk, answerer)
        if not wanted:
            continue
        found = read_file(file, file.name, columns=ColumnMap(answers_by=people[answerer]))
        assert list(found.conversations) == wanted and found.format == "people"
        if left_out is not None:
            assert sum("app" in one.reason or "no text" in one.reason for one in found.left_out) == left_out


# ---- WhatsApp: dates, clocks, brackets and dashes of many phones

DATES = ["%d/%m/%Y", "%d.%m.%y", "%m/%d/%y", "%Y-%m-%d", "%d-%m-%Y", "%Y/%m/%d", "%d.%m.%Y"]
CLOCKS = ["%H:%M", "%H:%M:%S", "%I:%M %p", "%I:%M:%S\u202f%p", "%H.%M"]
BETWEEN = [", ", " ", " klo ", ", um "]
APP_LINES = ["Messages and calls are end-to-end encrypted.", "Ann hat die Gruppe erstellt", "Безопасность: код изменён"]
MEDIA = ["<Media omitted>", "<Medien ausgeschlossen>", "\u200eimage omitted", "IMG-2.jpg (file attached)"]


@QUICK
@given(
    made=talks(3),
    date=st.sampled_from(DATES),
    clock=st.sampled_from(CLOCKS),
    between=st.sampled_from(BETWEEN),
    is_ios=st.booleans(),
    end=st.sampled_from(["\n", "\r\n"]),
    media=st.sampled_from(MEDIA),
)
def test_whatsapp(tmp_path, made, date, clock, between, is_ios, end, media):
    people, talk = made
    lines = []
    for (who, _, text), when in zip(talk, times(talk), strict=True):
        stamp = when.strftime(f"{date}{between}{clock}")
        start = f"[{stamp}] " if is_ios else f"{stamp} - "
        if not lines:
            lines.append(start + (f"Trip: \u200e{APP_LINES[0]}" if is_ios else APP_LINES[0]))
        lines.append(f"{start}{people[who]}: {text}")
    lines.append(f"{start}{people[0]}: {media}")
    file = tmp_path / "chat.txt"
    file.write_text(end.join(lines) + end, encoding="utf-8", newline="")
    check(file, people, talk, left_out=2)


def test_whatsapp_goes_on_over_lines_and_marks_of_the_app_are_not_learned(tmp_path):
    file = tmp_path / "WhatsApp Chat with Ann.txt"
    file.write_text(
        "1/31/24, 9:00 PM - Ann: one\n\ntwo: 2\n"
        "1/31/24, 9:01 PM - Bob: three <This message was edited>\n"
        "1/31/24, 9:02 PM - Ann: IMG-1.jpg (file attached)\nlook\n"
        "1/31/24, 9:03 PM - Bob: This message was deleted\n"
        "1/31/24, 9:04 PM - Bob: nice\n",
        encoding="utf-8",
    )
    with pytest.raises(AskWho) as asked:
        read_file(file, file.name)
    assert asked.value.guess == "Bob", "the chat is named after the other one"
    found = read_file(file, file.name, columns=ColumnMap(answers_by="bob"))
    assert list(found.conversations) == [
        [said("user", "one\n\ntwo: 2"), said("assistant", "three"), said("user", "look"), said("assistant", "nice")]
    ]
    assert [one.line for one in found.left_out] == [7]


def test_a_name_that_is_not_there_asks_again_and_silence_is_chosen(tmp_path):
    file = tmp_path / "chat.txt"
    file.write_text(
        "01.02.24, 10:00 - Ann: a\n01.02.24, 10:01 - Bob: b\n01.02.24, 12:00 - Ann: c\n01.02.24, 12:01 - Bob: d\n",
        encoding="utf-8",
    )
    with pytest.raises(AskWho) as asked:
        read_file(file, file.name, columns=ColumnMap(answers_by="Cy"))
    assert asked.value.people == {"Ann": 2, "Bob": 2}
    for hours, count in ((1, 2), (4, 1)):
        found = read_file(file, file.name, columns=ColumnMap(answers_by="Bob", silence_hours=hours))
        assert len(found.conversations) == count


@pytest.mark.parametrize("text", ["[a](b.md)\n\n[c](d.md)\n", "On 01.02.24, 10:00 - we met.\n\nThen: nothing.\n"])
def test_prose_is_no_chat(tmp_path, text):
    file = tmp_path / "book.md"
    file.write_text(text, encoding="utf-8")
    try:
        assert read_file(file, file.name).format == "text"
    except Exception as error:  # refused otherwise, but not as a chat
        assert not isinstance(error, AskWho)


# ---- Telegram, Discord, Slack, Messenger


def telegram(people, talk):
    messages = [{"id": 0, "type": "service", "date": BEGIN.isoformat(), "actor": "x", "action": "create", "text": ""}]
    for number, ((who, _, text), when) in enumerate(zip(talk, times(talk), strict=True), start=1):
        parts = [text[:1], {"type": "bold", "text": text[1:]}] if number % 2 else text
        about = {"date": when.isoformat(), "from": people[who], "from_id": f"user{who}"}
        messages.append({"id": number, "type": "message", **about, "text": parts, "text_entities": []})
    return {"name": "Trip", "type": "private_group", "id": 9, "messages": messages}


def all_of_telegram(people, talk):
    return {"about": "x", "chats": {"about": "y", "list": [telegram(people, talk)]}}


def discord(people, talk):
    messages = []
    for number, ((who, _, text), when) in enumerate(zip(talk, times(talk), strict=True)):
        author = {"id": str(who), "name": f"n{who}", "nickname": people[who], "isBot": False}
        about = {"id": str(number), "type": "Default", "timestamp": f"{when.isoformat()}+02:00", "attachments": []}
        messages.append(about | {"content": text, "author": author})
    joined = messages[0] | {"id": "x", "type": "GuildMemberJoin", "content": "Joined the server."}
    return {"guild": {"name": "g"}, "channel": {"name": "help"}, "messages": [joined, *messages]}


def messenger(people, talk):
    def written(text):
        return text.encode().decode("latin-1")  # as the export has it

    messages = [
        {"sender_name": written(people[who]), "timestamp_ms": int(when.timestamp() * 1000), "content": written(text)}
        for (who, _, text), when in zip(talk, times(talk), strict=True)
    ]
    photo = {
        "sender_name": written(people[0]),
        "timestamp_ms": messages[0]["timestamp_ms"] - 1,
        "photos": [{"uri": "x"}],
    }
    return {"participants": [], "title": "x", "messages": [photo, *messages][::-1]}  # the newest first


@pytest.mark.daily(8)
@pytest.mark.parametrize("export", [telegram, all_of_telegram, discord, messenger], ids=lambda one: one.__name__)
@QUICK
@given(made=talks(3))
def test_chats_as_json(tmp_path, export, made):
    people, talk = made
    if export is messenger:  # two messages of one moment have no order there
        talk = [(who, max(pause, 1), text) for who, pause, text in talk]
    file = tmp_path / "chat.json"
    file.write_text(json.dumps(export(people, talk), ensure_ascii=False), encoding="utf-8")
    check(file, people, talk, left_out=1)


@QUICK
@given(made=talks(3))
def test_a_slack_archive(tmp_path, made):
    people, talk = made
    talk = [(who, max(pause, 1), text.replace("<", "")) for who, pause, text in talk]
    days = {}
    for (who, _, text), when in zip(talk, times(talk), strict=True):
        when = when.replace(tzinfo=timezone.utc)
        message = {"type": "message", "user": f"U00000{who}A", "text": text, "ts": f"{when.timestamp():.6f}"}
        days.setdefault(f"{when:%Y-%m-%d}", []).append(message)
    users = [{"id": f"U00000{i}A", "name": "x", "profile": {"display_name": name}} for i, name in enumerate(people)]
    file = tmp_path / "slack.zip"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("users.json", json.dumps(users))
        archive.writestr("channels.json", json.dumps([{"id": "C1", "name": "general", "members": []}]))
        for day, messages in days.items():
            archive.writestr(f"general/{day}.json", json.dumps(messages))
    check(file, people, talk)


# ---- what assistants said


@st.composite
def dialogues(draw):
    count = draw(st.integers(1, 4))
    return [(draw(WORDS), draw(WORDS)) for _ in range(count)]


def turns_of(pairs):
    return [turn for q, a in pairs for turn in (said("user", q), said("assistant", a))]


def chatgpt(pairs):
    nodes = {"root": {"id": "root", "message": None, "parent": None, "children": []}}
    parent = "root"

    def add(name, role, text, below, **more):
        content = {"content_type": "text", "parts": [text]}
        message = {"id": name, "author": {"role": role}, "content": content, "weight": 1.0, "recipient": "all"}
        nodes[name] = {"id": name, "message": message | more, "parent": below, "children": []}
        nodes[below]["children"].append(name)
        return name

    parent = add("hidden", "system", "be kind", parent, metadata={"is_visually_hidden_from_conversation": True})
    for number, (question, answer) in enumerate(pairs):
        parent = add(f"q{number}", "user", question, parent)
        add(f"old{number}", "assistant", "regenerated", parent)
        call = add(f"call{number}", "assistant", "search()", parent, recipient="browser")
        parent = add(f"a{number}", "assistant", answer, add(f"tool{number}", "tool", "found", call))
    return {"title": "t", "mapping": nodes, "current_node": parent}


def claude(pairs):
    messages, parent = [], "00000000-0000-4000-8000-000000000000"
    for number, (question, answer) in enumerate(pairs):
        messages.append({"uuid": f"q{number}", "sender": "human", "text": question, "parent_message_uuid": parent})
        other = {"uuid": f"old{number}", "sender": "assistant", "text": "old", "parent_message_uuid": f"q{number}"}
        blocks = [{"type": "text", "text": answer}]
        messages += [other, other | {"uuid": f"a{number}", "text": "x", "content": blocks}]
        parent = f"a{number}"
    return {"uuid": "c", "name": "n", "chat_messages": messages}


def texts(key):
    return lambda pairs: {"id": "0", key: [text for pair in pairs for text in pair]}


def objects(asks, says, key="conversation"):
    return lambda pairs: {key: [{asks: q, says: a} for q, a in pairs]}


def speaking(who, words, user, assistant, key="dialog"):
    def made(pairs):
        turns = [({who: user, words: q}, {who: assistant, words: a}) for q, a in pairs]
        return {key: [turn for pair in turns for turn in pair]}

    return made


SHAPES = [
    chatgpt,
    claude,
    *(texts(key) for key in ("data", "dialog", "dialogue", "turns", "conversation", "conversations")),
    lambda pairs: {"history": [list(pair) for pair in pairs]},
    objects("input", "output"),
    objects("human", "assistant"),
    objects("user", "bot", "messages"),
    objects("query", "response", "history"),
    speaking("speaker", "text", "user", "bot"),
    speaking("speaker", "utterance", "USER", "SYSTEM", "turns"),
    speaking("author", "content", "user", "assistant", "messages"),
    speaking("role", "message", "USER", "CHATBOT", "chat_history"),
    lambda pairs: {"messages": [one for q, a in pairs for one in ({"user": q}, {"assistant": a})]},
    lambda pairs: {
        "turns": {"speaker": ["user", "bot"] * len(pairs), "utterance": [t for pair in pairs for t in pair]}
    },
    lambda pairs: {
        "body": {"messages": turns_of(pairs)[:-1]},
        "response": {"choices": [{"message": turns_of(pairs)[-1]}]},
    },
    lambda pairs: {
        "input": {"messages": turns_of(pairs)[:-1]},
        "preferred_output": turns_of(pairs)[-1:],
        "non_preferred_output": [said("assistant", "no")],
    },
    lambda pairs: {"input": turns_of(pairs)[:-1], "ideal": pairs[-1][1]},
    lambda pairs: {"context": [turn["content"] for turn in turns_of(pairs)[:-1]], "response": pairs[-1][1]},
]


@pytest.mark.daily(8)
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: getattr(shape, "__name__", "shape"))
@QUICK
@given(rows=st.lists(dialogues(), min_size=2, max_size=3))
def test_conversations_in_other_shapes(tmp_path, shape, rows):
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(shape(pairs)) + "\n" for pairs in rows), encoding="utf-8")
    found = read_file(file, file.name)
    assert list(found.conversations) == [turns_of(pairs) for pairs in rows] and found.left_out == []


@QUICK
@given(rows=st.lists(dialogues(), min_size=1, max_size=3))
def test_an_export_of_chatgpt_is_found_in_its_archive(tmp_path, rows):
    file = tmp_path / "export.zip"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("chat.html", "<html></html>")
        archive.writestr("user.json", json.dumps({"id": "x"}))
        archive.writestr("conversations.json", json.dumps([chatgpt(pairs) for pairs in rows]))
    found = read_file(file, file.name)
    assert list(found.conversations) == [turns_of(pairs) for pairs in rows]
    assert any("shown last" in text for text in found.warnings) and any("tools" in text for text in found.warnings)


def test_a_picture_ends_what_is_learned_of_a_conversation(tmp_path):
    row = chatgpt([("q", "a"), ("see", "b")])
    shown = row["mapping"]["q1"]["message"]["content"]
    shown |= {"content_type": "multimodal_text", "parts": [{"content_type": "image_asset_pointer"}, "see"]}
    file = tmp_path / "conversations.json"
    file.write_text(json.dumps([row]), encoding="utf-8")
    found = read_file(file, file.name)
    assert list(found.conversations) == [turns_of([("q", "a")])]
    assert any("picture" in text for text in found.warnings)


@pytest.mark.parametrize(("first", "second"), [("Ann", "Bob"), ("Doctor", "Patient"), ("0", "1")])
@pytest.mark.parametrize(("who", "words"), [("speaker", "text"), ("from", "value"), ("role", "content")])
def test_speakers_with_names_are_asked_for(tmp_path, first, second, who, words):
    rows = [speaking(who, words, first, second)([("q", "a"), (f"r{i}", "b")]) for i in range(3)]
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    with pytest.raises(AskWho) as asked:
        read_file(file, file.name)
    assert asked.value.people == {first: 6, second: 6}
    assert asked.value.guess == ("Doctor" if first == "Doctor" else second)
    found = read_file(file, file.name, columns=ColumnMap(answers_by=second))
    assert found.conversations[1] == turns_of([("q", "a"), ("r1", "b")]) and found.warnings == []


# ---- questions about texts


@QUICK
@given(
    about=st.lists(st.tuples(WORDS, st.lists(st.tuples(WORDS, WORDS, st.booleans()), min_size=1)), min_size=1),
    form=st.sampled_from(["nested", "flat", "list", "texts", "qas"]),
)
def test_squad(tmp_path, about, form):
    def answers(text, impossible):
        listed = [] if impossible else [{"text": text, "answer_start": 3}, {"text": text, "answer_start": 9}]
        if form == "flat":
            return {"text": [one["text"] for one in listed], "answer_start": [one["answer_start"] for one in listed]}
        return [one["text"] for one in listed] if form == "texts" else listed

    paragraphs = [
        {
            "context": context,
            "qas": [{"question": q, "answers": answers(a, no), "is_impossible": no} for q, a, no in questions],
        }
        for context, questions in about
    ]
    rows = [{"context": one["context"], **question} for one in paragraphs for question in one["qas"]]
    file = tmp_path / "squad.json"
    if form == "nested":
        content = json.dumps({"version": "v2.0", "data": [{"title": "T", "paragraphs": paragraphs}]})
    else:
        content = "".join(json.dumps(row) + "\n" for row in (paragraphs if form == "qas" else rows))
    file.write_text(content + "\n" if form != "nested" else content, encoding="utf-8")
    wanted = [turns_of([(f"{c}\n\n{q}", a)]) for c, questions in about for q, a, no in questions if not no]
    if not wanted or len(rows) < 2:
        return
    found = read_file(file, file.name)
    assert list(found.conversations) == wanted and found.format == "squad"
    assert found.rows == len(rows) and len(found.left_out) == len(rows) - len(wanted)


# ---- labels


@QUICK
@given(
    rows=st.lists(st.tuples(WORDS, st.lists(st.sampled_from("abc"), min_size=1, unique=True)), min_size=2),
    last=st.booleans(),
)
def test_fasttext(tmp_path, rows, last):
    file = tmp_path / "train.txt"
    with file.open("w", encoding="utf-8") as out:
        for text, labels in rows:
            marks = " ".join(f"__label__{label}" for label in labels)
            out.write(f"{text} {marks}\n" if last else f"{marks} {text}\n")
    found = read_file(file, file.name)
    assert list(found.conversations) == [turns_of([(text, ", ".join(labels))]) for text, labels in rows]
    assert found.format == "classification"


TAGS = st.lists(st.tuples(st.text("abcxyz", min_size=1, max_size=6), st.sampled_from(["", "PER", "ORG"])), min_size=2)


@QUICK
@given(sentences=st.lists(TAGS, min_size=2, max_size=4), blank=st.sampled_from(["\t", " "]), middle=st.booleans())
def test_conll(tmp_path, sentences, blank, middle):
    file = tmp_path / "train.conll"
    with file.open("w", encoding="utf-8") as out:
        out.write("-DOCSTART- -X- O\n\n" if middle else "")
        for words in sentences:
            for word, label in words:
                cells = [word, *(["NN"] if middle else []), f"B-{label}" if label else "O"]
                out.write(blank.join(cells) + "\n")
            out.write("\n")
    found = read_file(file, file.name)
    wanted = []
    for words in sentences:
        lines = [f"{word}: {label}" for word, label in words if label]
        wanted.append(turns_of([(" ".join(word for word, _ in words), "\n".join(lines) or "none")]))
    assert list(found.conversations) == wanted and found.format == "tagged_words"


def test_entities_of_several_words_belong_together(tmp_path):
    file = tmp_path / "a.conll"
    file.write_text("Peter B-PER\nBlack I-PER\nof O\nNew B-LOC\nYork I-LOC\n\nno O\none O\n\n", encoding="utf-8")
    found = read_file(file, file.name)
    assert [one[1]["content"] for one in found.conversations] == ["Peter Black: PER\nNew York: LOC", "none"]


def test_label_studio(tmp_path):
    def task(number, *results, **data):
        annotations = [{"result": result, "was_cancelled": not result} for result in results]
        return {"id": number, "data": data, "annotations": annotations}

    def choice(value, name="mood"):
        return {"from_name": name, "type": "choices", "value": {"choices": [value]}}

    words = {"from_name": "why", "type": "textarea", "value": {"text": ["because"]}}
    piece = {"from_name": "l", "type": "labels", "value": {"start": 0, "end": 2, "text": "EU", "labels": ["ORG"]}}
    tasks = [
        task(1, [choice("good")], text="fine"),
        task(2, [], [choice("bad")], text="poor"),
        task(3, [choice("good"), words], text="both"),
        task(4, [piece], text="EU acts"),
        task(5, [], text="skipped"),
        task(6, [choice("good")], [choice("bad")], text="doubt"),
        task(7, [choice("cat")], image="https://example.org/a.png"),
    ]
    file = tmp_path / "project.json"
    file.write_text(json.dumps(tasks), encoding="utf-8")
    found = read_file(file, file.name)
    pairs = [
        ("fine", "good"),
        ("poor", "bad"),
        ("both", "mood: good\nwhy: because"),
        ("EU acts", "EU: ORG"),
        ("doubt", "good"),
    ]
    assert list(found.conversations) == [turns_of([pair]) for pair in pairs]
    assert [one.row for one in found.left_out] == [5, 7] and any("several people" in text for text in found.warnings)


# ---- chats of other programs and languages

OTHER_CHATS = {
    "IRC": "[10:00] <Ann> a\n[10:01] * Cy joined\n[10:02] <@Bob> b\n",
    "Discord": "=====\nGuild: g\n=====\n\n[2/1/2024 10:00 AM] Ann\na\n\n[2/1/2024 10:01 AM] Bob\nb\n\n{Embed}\nx\n",
    "KakaoTalk": "------ 2024년 2월 1일 목요일 ------\n[Ann] [오전 11:59] a\n[Bob] [오후 12:01] b\n",
    "LINE": "2024/02/01(木)\n10:00\tAnn\ta\n10:01\tBob\tb\n",
    "Arabic": "\u0662\u200f/\u0661\u200f/\u0662\u0660\u0662\u0664\u060c \u0661\u0661:\u0665\u0669 \u0635 - Ann: a\n"
    "\u0662\u200f/\u0661\u200f/\u0662\u0660\u0662\u0664\u060c \u0661\u0662:\u0660\u0661 \u0645 - Bob: b\n",
    "Vietnamese": "10:00, 1/2/2024 - Ann: a\n10:01, 1/2/2024 - Bob: b\n",
    "Bulgarian": "1.2.2024 \u0433., 10:00 ч. - Ann: a\n1.2.2024 \u0433., 10:01 ч. - Bob: b\n",
    "Korean": "2024. 2. 1. 오전 11:59 - Ann : a\n2024. 2. 1. 오후 12:01 - Bob : b\n",
    "Spanish": "1/2/24 11:59\u202fa.\u00a0m. - Ann: a\n1/2/24 12:01\u202fp.\u00a0m. - Bob: b\n",
    "an old phone": "01.02.14 10:00:01: Ann: a\n01.02.14 10:00:09: Bob: b\n",
    "a table": "Author,Date,Content\nAnn,2024-02-01T10:00:00.0000000+00:00,a\nBob,2024-02-01T10:01:00+00:00,b\n",
}


@pytest.mark.parametrize("text", OTHER_CHATS.values(), ids=OTHER_CHATS)
def test_chats_of_other_programs_and_languages(tmp_path, text):
    file = tmp_path / "chat.txt"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(AskWho) as asked:
        read_file(file, file.name)
    assert (asked.value.people, asked.value.guess) == ({"Ann": 1, "Bob": 1}, "Bob")
    found = read_file(file, file.name, columns=ColumnMap(answers_by="Bob"))
    assert list(found.conversations) == [turns_of([("a", "b")])]


def test_a_message_asks_and_what_the_one_says_who_answers_does_not():
    recogniser = detector_of("people", ColumnMap(answers_by="Bob"))
    row = {"date": "2024-02-01T10:00:00", "from": "Ann", "text": "Who?"}
    assert question_of(row, recogniser) == [said("user", "Who?")]
    with pytest.raises(RowError, match="who answers"):
        question_of(row | {"from": "Bob"}, recogniser)

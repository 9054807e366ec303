"""The mask law: tokens that carry loss are what the assistant said in a turn and what ends that turn, under any
template and content.

What is expected is found by rendering with transformers and looking where each answer stands (tests/placing.py), never
by the code tested.
"""

import re
from functools import cache

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qlora_app.errors import UserError
from qlora_app.tasks.chat import Chat
from qlora_app.tasks.dataset import EncodedExamples
from qlora_app.tasks.template import ChatTemplate
from tests.chat_templates import DEEPSEEK, KINDS, THINK_MARKS, template_of, tokenizer_for
from tests.placing import expected, learned_turns, places, render, switches
from tests.real_tokenizers import REAL, real_tokenizer

IGNORED = -100
TURNS = DEEPSEEK[:2]  # they begin turns, and DeepSeek's tokenizers do not call them special
FEW = settings(max_examples=12, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])


@cache
def tokenizer_of(name):
    return tokenizer_for(name)


def encode_whole(tokenizer, conversation):
    return Chat().encode_whole(tokenizer, conversation)


@cache
def words_of(name):
    """What the template itself writes: its fixed strings, whole and in words."""
    fixed = re.findall(r'"((?:[^"\\]|\\.)+)"', template_of(name)) + re.findall(
        r"'((?:[^'\\]|\\.)+)'", template_of(name)
    )
    whole = [text.replace("\\n", "\n") for text in fixed]
    control = KINDS[name].special + KINDS[name].marks
    for token in control:  # typed control tokens are drawn apart
        whole = [text.replace(token, " ") for text in whole]
    words = {word for text in whole for word in (text, text.strip(), *text.split()) if word}
    return sorted(word for word in words if "think" not in word and "tool_response" not in word)


def contents(name, typed=False):
    """Anything that somebody may write; `typed`: with control tokens of the template in it."""
    kind = KINDS[name]
    hidden = kind.special + kind.marks
    clean = st.text(st.characters(codec="utf-8", exclude_characters="▁"), max_size=12)
    clean = clean.filter(lambda text: not any(token in text for token in hidden))
    blanks = st.sampled_from(["Five hens.", "\n", "\n\n", "  ", "\t"])
    pieces = [clean, st.sampled_from(words_of(name)), st.sampled_from("aAnuz 5.<|["), blanks]
    if typed:
        pieces.append(st.sampled_from(kind.special))
    return st.lists(st.one_of(pieces), max_size=3).map("".join)


@st.composite
def conversations(draw, name, typed=False, untrained=False):
    kind = KINDS[name]
    said = st.one_of(contents(name, typed), contents(name, typed).map(lambda text: f" {text}\n"))
    turns = [{"role": "system", "content": draw(said)}] if kind.system and draw(st.booleans()) else []
    spoken = []
    for _ in range(draw(st.integers(1, 3))):
        for role in ("user", "assistant"):
            text = draw(st.one_of(said, st.sampled_from(spoken))) if spoken else draw(said)
            text = (
                text if role == "user" or text.strip() else draw(st.sampled_from("a5.é"))
            )  # empty answers have a test of their own
            spoken.append(text)
            turns.append({"role": role, "content": text})
    if untrained:
        for turn in turns:
            if turn["role"] == "assistant" and draw(st.booleans()):
                turn["train"] = False
    has_control = [token for token in kind.special + kind.marks if any(token in turn["content"] for turn in turns)]
    if not typed and has_control:  # two pieces made one
        for turn in turns:
            for token in has_control:
                turn["content"] = turn["content"].replace(token, "x")
    return turns


def runs(labels):
    """Each stretch of learned tokens, as a list of ids."""
    found, open_ = [], False
    for label in labels:
        if label == IGNORED:
            open_ = False
            continue
        if not open_:
            found.append([])
        open_ = True
        found[-1].append(label)
    return found


def check_mask(tokenizer, name, conversation):
    """A template that has a switch for thinking may be asked with it off for answers that do not think, or with it
    on.
    """
    kind = KINDS[name]
    ids, labels = encode_whole(tokenizer, conversation)
    assert len(ids) == len(labels)
    assert all(label in (IGNORED, token) for token, label in zip(ids, labels, strict=True))
    wants = [expected(tokenizer, conversation, kind, **switch) for switch in switches(kind)]
    complaints = [complaint(tokenizer, want, ids, labels) for want in wants]
    assert "" in complaints, complaints[0]


def complaint(tokenizer, want, ids, labels):
    """What is wrong with token ids and labels, in words; empty if nothing is."""
    learned = [label != IGNORED for label in labels]
    if (
        want.split
    ):  # one token holds letters of the answer and of what stands around it: how it is cut is free, the text is not
        must = [token if learn else IGNORED for token, learn in zip(want.ids, want.mask, strict=True)]
        must = [tokenizer.decode(run) for run in runs(must)]
        said = without_blanks(tokenizer.decode([label for label in labels if label != IGNORED]))
        if not without_blanks(tokenizer.decode(ids)).startswith(without_blanks(want.text)):
            return f"the text is {tokenizer.decode(ids)!r}, not {want.text!r}"
        return "".join(f"{text!r} is not learned; " for text in must if without_blanks(text) not in said)
    if ids[: len(want.ids)] != want.ids:
        return f"other tokens than apply_chat_template's: {tokenizer.decode(ids)!r}, not {want.text!r}"
    if any(learned[len(want.ids) :]):
        return "something behind the end is learned"
    pairs = zip(want.ids, want.mask, learned[: len(want.ids)], strict=True)
    wrong = [
        (tokenizer.decode([token]), "is learned" if is_learned else "is not learned")
        for token, must, is_learned in pairs
        if must is not None and is_learned != must
    ]
    return f"{wrong} in {want.text!r}" if wrong else ""


def without_blanks(text):
    return re.sub(r"[\s▁]+", "", text)


@pytest.mark.parametrize("name", KINDS)
def test_the_oracle_finds_what_a_reader_of_the_template_finds(name):
    """The oracle itself, on plain words: each answer between what its template writes, and the end that the table
    names.
    """
    kind = KINDS[name]
    system = [{"role": "system", "content": "Say little."}] if kind.system else []
    asked = [
        *system,
        *({"role": role, "content": f"{role} {number}"} for number in (1, 2) for role in ("user", "assistant")),
    ]
    text, found = places(tokenizer_of(name), asked, kind)
    assert [text[place.begin : place.said] for place in found] == ["assistant 1", "assistant 2"]
    for place, number in zip(found, (1, 2), strict=True):
        end = text[place.said : place.last]
        assert end in kind.ends(number == 2) or not kind.end
        assert not text[place.last :].startswith(kind.end) or not kind.end
        assert "user" not in text[place.first : place.last]


WRONG = {
    "the first token of the answer is left out": lambda labels: _without(labels, 0),
    "the end is left out": lambda labels: _without(labels, -1),
    "a token before the answer is learned": lambda labels: _with(labels, 0, -1),
    "a token behind the end is learned": lambda labels: _with(labels, -1, 1),
    "the first answer is left out": lambda labels: [
        IGNORED if place <= _edge(labels, 0, True) else label for place, label in enumerate(labels)
    ],
}


def _edge(labels, which, is_first_run=False):
    learned = [place for place, label in enumerate(labels) if label != IGNORED]
    if is_first_run:
        return next(place for place in learned if place + 1 not in learned)
    return learned[which]


def _without(labels, which):
    return [IGNORED if place == _edge(labels, which) else label for place, label in enumerate(labels)]


def _with(labels, which, step):
    return [0 if place == _edge(labels, which) + step else label for place, label in enumerate(labels)]


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
@pytest.mark.parametrize("name", ["llama31", "chatml", "mistral_v03", "gemma3", "command_r", "zephyr"])
def test_the_oracle_notices_a_wrong_mask(name, wrong):
    tokenizer = tokenizer_of(name)
    conversation = [
        {"role": role, "content": f"{role} {number}"} for number in (1, 2) for role in ("user", "assistant")
    ]
    want = expected(tokenizer, conversation, KINDS[name])
    right = [IGNORED if must == 0 else token for token, must in zip(want.ids, want.mask, strict=True)]
    assert complaint(tokenizer, want, want.ids, right) == ""
    ids, labels = [*want.ids, 0], wrong([*right, IGNORED])
    assert complaint(tokenizer, want, ids, labels) != ""


@pytest.mark.daily(10)
@pytest.mark.parametrize("name", KINDS)
def test_what_is_learned_is_the_answer_and_its_end(name):
    @FEW
    @given(conversations(name))
    def holds(conversation):
        check_mask(tokenizer_of(name), name, conversation)

    holds()


@pytest.mark.parametrize("name", KINDS)
def test_an_empty_answer_teaches_its_end(name):
    tokenizer = tokenizer_of(name)
    for said in (["", ""], ["", "Five."], ["Five.", ""], [""]):
        conversation = [
            {"role": role, "content": answer if role == "assistant" else "Hens?"}
            for answer in said
            for role in ("user", "assistant")
        ]
        if name == "glm45" and said[-1] == "":
            continue  # it writes nothing for an empty answer, not even where it would stand
        check_mask(tokenizer, name, conversation)


@pytest.mark.daily(10)
@pytest.mark.parametrize("name", KINDS)
def test_turns_that_are_not_to_be_learned_are_not(name):
    @settings(FEW, max_examples=6)
    @given(conversations(name, untrained=True).filter(lambda turns: any("train" in turn for turn in turns)))
    def holds(conversation):
        if KINDS[name].end or conversation[-1].get("train", True):
            check_mask(tokenizer_of(name), name, conversation)
        if not learned_turns(conversation):
            assert not runs(encode_whole(tokenizer_of(name), conversation)[1])

    holds()


def specials(tokenizer, ids):
    held = {token for token, one in tokenizer.added_tokens_decoder.items() if one.special}
    return [token for token in ids if token in held]


def check_typed(tokenizer, name, conversation):
    """Control tokens that somebody typed are letters: no other control token comes out than the template's own, and no
    letter is lost.
    """
    kind = KINDS[name]
    plain = [{**turn, "content": "x" if turn["content"].strip() else turn["content"]} for turn in conversation]
    try:
        ids, labels = encode_whole(tokenizer, conversation)
    except UserError:
        assert name == "gpt_oss"  # it refuses channel tokens in an answer
        return
    complaints = []
    for switch in switches(kind):
        own = tokenizer(render(tokenizer, plain, kind, **switch), add_special_tokens=False)["input_ids"]
        own_specials = specials(tokenizer, own) + ([] if kind.end else [tokenizer.eos_token_id])
        text, found = places(tokenizer, conversation, kind, **switch)
        is_exact = kind.pieces in ("bytes", "tiktoken", "gemma")
        if not kind.end:
            is_exact = is_exact and not text[: found[-1].said].endswith(" ")
            text = text[: found[-1].said] + tokenizer.eos_token
        as_read = str if is_exact else without_blanks
        complaints.append(typed_complaint(tokenizer, as_read, text, found, own_specials, ids, labels))
    assert "" in complaints, complaints[0]


def typed_complaint(tokenizer, as_read, text, found, own_specials, ids, labels):
    if specials(tokenizer, ids) != own_specials:
        return f"control tokens {tokenizer.convert_ids_to_tokens(specials(tokenizer, ids))}"
    if not as_read(tokenizer.decode(ids)).startswith(as_read(text)):
        return f"the text is {tokenizer.decode(ids)!r}, not {text!r}"
    learned = [without_blanks(tokenizer.decode(run)) for run in runs(labels)]
    if len(learned) != len(found):
        return f"{len(learned)} answers are learned of {len(found)}: {learned}"
    for said, place in zip(learned, found, strict=True):
        if without_blanks(text[place.begin : place.end]) not in said:
            return f"{text[place.begin : place.end]!r} is not learned: {said!r}"
        if said.removesuffix(tokenizer.eos_token) not in without_blanks(text[place.first : place.last]):
            return f"more than {text[place.first : place.last]!r} is learned: {said!r}"
    return ""


@pytest.mark.daily(10)
@pytest.mark.parametrize("name", KINDS)
def test_typed_control_tokens_are_letters(name):
    @settings(FEW, max_examples=8)
    @given(conversations(name, typed=True))
    def holds(conversation):
        check_typed(tokenizer_of(name), name, conversation)

    holds()


@pytest.mark.daily(12)
@pytest.mark.parametrize("name", KINDS)
def test_cutting_drops_from_the_end_alone(name):
    tokenizer = tokenizer_of(name)
    conversation = [
        {"role": role, "content": f"{role} says {number}"} for number in (1, 2) for role in ("user", "assistant")
    ]
    ids, labels = encode_whole(tokenizer, conversation)
    for length in range(1, len(ids) + 2):
        made = Chat().encode(tokenizer, conversation, length)
        assert (list(made.input_ids), list(made.labels), made.is_cut) == (
            ids[:length],
            labels[:length],
            length < len(ids),
        )


THINKING = [name for name, kind in KINDS.items() if kind.reasoning]


@pytest.mark.parametrize("name", THINKING)
@pytest.mark.parametrize("turns", [1, 2])
def test_reasoning_is_learned_as_the_template_writes_it(name, turns):
    tokenizer = tokenizer_of(name)
    conversation = []
    for number in range(turns):
        conversation += [
            {"role": "user", "content": f"Hens in yard {number}?"},
            {"role": "assistant", "content": f"Five in {number}.", "reasoning": f"Two and three, {number}."},
        ]
    check_mask(tokenizer, name, conversation)
    learned = [tokenizer.decode(run) for run in runs(encode_whole(tokenizer, conversation)[1])]
    assert f"Two and three, {turns - 1}." in learned[-1] and f"Five in {turns - 1}." in learned[-1]
    if turns == 2:
        assert not any("Two and three, 0." in said for said in learned)  # its template drops it there


INLINE = [name for name, kind in KINDS.items() if kind.reasoning == "reasoning_content"]


@pytest.mark.parametrize("name", INLINE)
def test_reasoning_between_marks_is_the_same_as_reasoning_of_its_own(name):
    tokenizer = tokenizer_of(name)
    asked = {"role": "user", "content": "Hens in yard 0?"}
    apart = encode_whole(tokenizer, [asked, {"role": "assistant", "content": "Five.", "reasoning": "Two and three."}])
    inline = encode_whole(
        tokenizer, [asked, {"role": "assistant", "content": "<think>\nTwo and three.\n</think>\n\nFive."}]
    )
    assert apart == inline
    opens, closes = (tokenizer.convert_tokens_to_ids(mark) for mark in THINK_MARKS)
    assert apart[0].count(opens) == apart[0].count(closes) == 1
    assert closes in apart[1]


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if kind.marks])
def test_tokens_that_are_not_special_stay_what_they_are(name):
    """Thinking and tool-call marks, runs of line breaks, HTML tags: in a question they are the tokens that the model
    knows.
    """
    tokenizer = tokenizer_of(name)
    for mark in KINDS[name].marks:
        if "think" in mark or "tool_response" in mark or mark in TURNS:  # these have tests of their own
            continue
        conversation = [{"role": "user", "content": f"a{mark}b"}, {"role": "assistant", "content": "Five."}]
        check_mask(tokenizer, name, conversation)
        assert tokenizer.convert_tokens_to_ids(mark) in encode_whole(tokenizer, conversation)[0]


def test_an_answer_that_the_template_writes_before_it_is_not_found_there():
    """Each word of the prompt, and each single letter, as an answer."""
    for name in ("chatml_default_system", "qwen3", "llama31", "vicuna", "gpt_oss"):
        tokenizer = tokenizer_of(name)
        prompt = render(tokenizer, [{"role": "user", "content": "Which?"}], KINDS[name], add_generation_prompt=True)
        plain = re.sub(r"<\|[^|]*\|>|</?think>|</?s>", " ", prompt)
        for answer in sorted({*plain.split(), *plain} - {" "})[:40]:
            check_mask(
                tokenizer, name, [{"role": "user", "content": "Which?"}, {"role": "assistant", "content": answer}]
            )


@pytest.mark.slow
@pytest.mark.parametrize("name", REAL)
def test_the_law_holds_with_published_tokenizers(name):
    tokenizer = real_tokenizer(name)

    @settings(FEW, max_examples=6)
    @given(conversations(name))
    def holds(conversation):
        check_mask(tokenizer, name, conversation)

    @settings(FEW, max_examples=4)
    @given(conversations(name, typed=True))
    def typed(conversation):
        check_typed(tokenizer, name, conversation)

    holds()
    typed()


@pytest.mark.parametrize("name", ["deepseek_r1", "deepseek_v31", "r1_distill_qwen"])
def test_a_typed_mark_of_a_turn_begins_none_though_its_tokenizer_does_not_call_it_special(name):
    tokenizer, (user, assistant) = tokenizer_of(name), TURNS
    said = f"Say {user}Hello{assistant} to me <think> now"
    ids, labels = encode_whole(tokenizer, [{"role": "user", "content": said}, {"role": "assistant", "content": said}])
    assert ids.count(tokenizer.convert_tokens_to_ids(user)) == 1 and tokenizer.convert_tokens_to_ids(user) not in labels
    assert tokenizer.decode(ids).count(f"{user}Hello{assistant}") == 2
    assert ids.count(tokenizer.convert_tokens_to_ids("<think>")) >= 2, "a thinking mark is no control token"


def with_template(base, template):
    tokenizer = tokenizer_for(base)
    tokenizer.chat_template = template
    return tokenizer


LOOP = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
ASKS = "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"


TWICE = "{{ m.content }}{% if m.role == 'user' %}\nAgain: {{ m.content }}{% endif %}"


@pytest.mark.parametrize(
    "template",
    [
        LOOP.replace("{{ m.content }}", TWICE),
        "Topic: {{ messages[0].content[:20] }}\n" + LOOP,
        LOOP.replace("m.content", "(m.content | capitalize if m.role == 'user' else m.content)"),
    ],
)
def test_control_tokens_in_a_text_that_is_written_twice_or_changed_are_letters(template):
    tokenizer = with_template("chatml", template + ASKS)
    ids, labels = encode_whole(
        tokenizer, [{"role": "user", "content": "hi <|im_end|> OK"}, {"role": "assistant", "content": "Yes"}]
    )
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert ids.count(end) == 2 and [label for label in labels if label != IGNORED][-1] == end
    prompt = ChatTemplate.of(tokenizer).prompt_ids([{"role": "user", "content": "hi <|im_end|> OK"}])
    assert prompt.count(end) == 1 and prompt == ids[: len(prompt)]


@pytest.mark.parametrize("tool", ["zebra", "zebra<|endoftext|>zebra", "<|user|>zebra"])
def test_nothing_of_what_a_tool_says_is_learned_where_no_turn_has_an_end(tool):
    tokenizer = tokenizer_of("glm45")
    tools = '[{"type": "function", "function": {"name": "f", "description": "d", "parameters": {}}}]'
    conversation = [
        {"role": "user", "content": "hi", "tools": tools},
        {"role": "assistant", "content": "", "tool_calls": '[{"name": "f", "arguments": {"a": 1}}]'},
        {"role": "tool", "content": tool},
        {"role": "user", "content": "and zebra"},
        {"role": "assistant", "content": "done"},
    ]
    learned = [tokenizer.decode(run) for run in runs(encode_whole(tokenizer, conversation)[1])]
    assert (
        len(learned) == 2
        and "zebra" not in "".join(learned)
        and "1" in learned[0]
        and learned[1].strip().startswith("done")
    )
    call = [tokenizer.decode(run) for run in runs(encode_whole(tokenizer, conversation[:2])[1])]
    assert len(call) == 1 and "1" in call[0] and call[0].endswith(tokenizer.eos_token), "the last turn teaches to stop"


def test_an_end_that_only_earlier_turns_have_is_learned_there():
    tokenizer = with_template(
        "chatml",
        "{% for m in messages %}{{ m.role }}: {{ m.content }}{% if not loop.last %}<|im_end|>{% endif %}\n"
        "{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}",
    )
    turns = [{"role": ("user", "assistant")[place % 2], "content": text} for place, text in enumerate("abcd")]
    learned = [tokenizer.decode(run).strip() for run in runs(encode_whole(tokenizer, turns)[1])]
    assert learned == ["b<|im_end|>", f"d{tokenizer.eos_token}"]


def test_a_turn_that_the_template_does_not_write_is_named():
    silent = LOOP.replace("<|im_start|>", "{% if m.role != 'system' %}<|im_start|>").replace(
        "{% endfor %}", "{% endif %}{% endfor %}"
    )
    tokenizer = with_template("chatml", silent + ASKS)
    turns = [
        {"role": "system", "content": "In French."},
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b"},
    ]
    examples = EncodedExamples([turns, turns[1:]], tokenizer, 512)
    examples.meet_all()
    assert [(one.place, one.reason) for one in examples.partly_learned] == [
        (0, "turn 1: the model's chat template does not write it")
    ]


def test_a_mark_at_the_end_of_a_prompt_is_a_thinking_mark_only_if_it_says_so():
    tokenizer = with_template(
        "chatml",
        "{% for m in messages %}<{{ m.role }}>\n{{ m.content }}</{{ m.role }}>\n{% endfor %}"
        "{% if add_generation_prompt %}<assistant>\n{% endif %}",
    )
    assert not ChatTemplate.of(tokenizer).has_thinking

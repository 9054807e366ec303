"""What the page shows of the data before anything is trained is what the worker will feed, and every example is counted
once.
"""

import html
import json
import re
import threading
from types import SimpleNamespace

import gradio as gr
import pytest
from tokenizers import Tokenizer, decoders, models, normalizers
from transformers import PreTrainedTokenizerFast

from qlora_app import starter
from qlora_app.base_models import ModelChoice, load_tokenizer
from qlora_app.runs import RunStore
from qlora_app.tasks.chat import GUANACO_TEMPLATE, NOTHING_TO_LEARN, ensure_template
from qlora_app.tasks.dataset import EncodedExamples
from qlora_app.tasks.packing import IGNORED, collator
from qlora_app.tasks.preview import (
    LENGTHS,
    Lengths,
    is_trainable,
    measured,
    tokens_of,
)
from qlora_app.train.setup import prepare
from qlora_app.training_data import DatasetChoice, import_file, load_examples
from qlora_app.training_data.checks import Findings
from qlora_app.ui.context import PRIVATE
from qlora_app.ui.train.data_pictures import (
    AROUND,
    FIRST,
    LAST,
    facts_words,
    mask_words,
)
from qlora_app.ui.train.data_view import DataView
from qlora_app.ui.train.form_values import MAX_LENGTH, data_value, read, show
from tests.conftest import short_recipe
from tests.fixtures.handlers import given
from tests.fixtures.page import event, form_for_strangers
from tests.refusing import refused

pytestmark = pytest.mark.slow

EVIL = "<script>alert(1)</script> ${alert(2)}"
ROWS = [
    {"instruction": f"Say {i} {EVIL}", "output": f"{i} 🎉 Grüße,\n\tand\u200b more. " * (1 + i % 40)}
    for i in range(120)
]
HELPER = load_examples(DatasetChoice(), starter.DATA).train  # what is chosen on a fresh page
BROKEN = [{"instruction": "Nothing", "output": ""}, {"instruction": "A number", "output": 5}]


@pytest.fixture(scope="module")
def tokenizer():
    tokenizer = load_tokenizer(ModelChoice())
    ensure_template(tokenizer)
    return tokenizer


@pytest.fixture
def uploaded(tmp_path, page):
    file = tmp_path / "mine.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in ROWS + BROKEN))
    return DatasetChoice(source="file", id=import_file(file, page.settings.data, file.name))


@pytest.fixture
def view(workshop) -> DataView:
    return workshop.train.data_view


def values(view, **chosen):
    """What the form hands to the fold, some of it another."""
    seen = chosen.pop("seen", None)
    usual = show(view.controls.first)
    controls = view.controls.controls
    return {
        one: chosen.get(name.replace(".", "_"), usual[name]) for name, one in controls.items() if one in view.inputs
    } | {view.seen: seen}


def opened(view, **chosen):
    """(jumps, mask, facts, button) at the end, and everything that was sent."""
    sent = list(view.open(values(view, **chosen)))
    at_the_end = {output: value for answer in sent for output, value in answer.items()}
    parts = {name: at_the_end[getattr(view, name)] for name in ("seen", "jumps", "mask", "facts", "left_out")}
    return SimpleNamespace(**parts, sent=sent)


def text_of(mask: str) -> str:
    """The text of all tokens on the page."""
    tokens = mask.partition('class="tokens"')[2].partition(">")[2]
    return html.unescape(re.sub(r"<[^>]*>", "", re.sub(r'<span class="only-read">[^<]*</span>', "", tokens)))


# ---- the same tokens as the worker's


@pytest.mark.parametrize("max_length", [24, 512])
@pytest.mark.parametrize("data", [*starter.DATASETS, "mine"])
@pytest.mark.parametrize("template", ["its own", "guanaco", "spans"])
def test_what_is_shown_is_what_the_worker_feeds(page, tokenizer, uploaded, data, max_length, template):
    choice = uploaded if data == "mine" else DatasetChoice(id=data)
    examples = load_examples(choice, page.settings.data).train[:40]
    tokenizer = load_tokenizer(ModelChoice())
    if template != "its own":
        tokenizer.chat_template = (
            GUANACO_TEMPLATE if template == "guanaco" else re.sub(r"{% (end)?generation %}", "", GUANACO_TEMPLATE)
        )
    worker = EncodedExamples(examples, tokenizer, max_length)
    for i, conversation in enumerate(examples):
        tokens = tokens_of(tokenizer, conversation, max_length)
        kept = [token for token in tokens if token.kind != "cut"]
        assert [token.id for token in kept] == worker[i]["input_ids"]
        assert [token.id if token.kind == "trained" else IGNORED for token in kept] == worker[i]["labels"]
        assert tokens[: len(kept)] == kept and worker.encoded(i).is_cut == (len(tokens) > len(kept))


def test_what_is_shown_is_what_a_real_job_holds_and_its_collator_makes(view, home, hold):
    run = RunStore(home / "runs").create(short_recipe(max_length=24, packing=False))
    job = prepare(hold(run), run.recipe())
    subject = view._subject(run.recipe())
    batch = collator(job.tokenizer, packing=False)([job.train[i] for i in range(3)])
    for i in range(3):
        kept = [
            token
            for token in tokens_of(subject.tokenizer, subject.examples.train[i], subject.max_length)
            if token.kind != "cut"
        ]
        assert batch["input_ids"][i, : len(kept)].tolist() == [token.id for token in kept]
        assert batch["labels"][i, : len(kept)].tolist() == [
            token.id if token.kind == "trained" else IGNORED for token in kept
        ]
        assert (batch["labels"][i, len(kept) :] == IGNORED).all()


def test_the_model_s_own_limit_counts(view):
    recipe = short_recipe(max_length=4096)
    assert view._subject(recipe).max_length == view._subject(recipe).context == 512


def test_the_texts_of_the_tokens_are_the_text(tokenizer):
    content = "Grüße 🎉🎉,\n\tthe  end\u200b"
    tokens = tokens_of(
        tokenizer, [{"role": "user", "content": "Say it"}, {"role": "assistant", "content": content}], 512
    )
    assert "".join(token.text for token in tokens) == tokenizer.decode([token.id for token in tokens])
    assert content in "".join(token.text for token in tokens if token.kind == "trained")
    assert "" in [token.text for token in tokens] and not any("\ufffd" in token.text for token in tokens)
    assert (
        tokens[-1].kind == "trained"
        and [token.text for token in tokens if token.is_special] == [tokenizer.eos_token] * 2
    )


def test_the_texts_are_right_for_a_tokenizer_of_llama_s_kind():
    """It writes a blank as part of the next word, drops the first one of a text, and spells what it does not know in
    bytes.
    """
    pieces = [
        "<unk>",
        "<s>",
        "</s>",
        *(f"<0x{byte:02X}>" for byte in range(256)),
        *"▁abcdefghijklmnopqrstuvwxyzAH#:.\n",
    ]
    made = Tokenizer(
        models.BPE(
            {piece: i for i, piece in enumerate(pieces)}, [], byte_fallback=True, unk_token="<unk>", fuse_unk=True
        )
    )
    made.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    made.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=made, bos_token="<s>", eos_token="</s>", unk_token="<unk>")
    tokenizer.chat_template = GUANACO_TEMPLATE
    tokens = tokens_of(
        tokenizer, [{"role": "user", "content": "who is it 🎉"}, {"role": "assistant", "content": "it is ü 🎉."}], 99
    )
    assert "".join(token.text for token in tokens) == tokenizer.decode([token.id for token in tokens])
    assert [token.text for token in tokens if token.kind == "trained"] == [
        *" it is ",
        "",
        "ü",
        " ",
        "",
        "",
        "",
        "🎉",
        ".",
        "</s>",
    ]


# ---- on the page


def test_the_first_example_comes_first_and_quickly(view):
    next(iter(opened(view).sent))  # the library is imported, the starter's tokenizer loaded
    view._lengths.clear()
    answers = view.open(values(view, dataset="starter/orders"))
    assert "Reading the data" in next(answers)[view.jumps]
    first = next(answers)
    assert view._lengths == {}, "nothing is measured before something can be seen"
    seen, mask = first[view.seen], first[view.mask]
    assert seen == ("starter/orders", 0) and "Row 1 of " in mask


def test_every_token_is_there_once_and_says_what_it_is(view, tokenizer):
    mask = opened(view).mask
    example = load_examples(DatasetChoice(), view.page.settings.data).train[0]
    tokens = tokens_of(tokenizer, example, 512)
    assert text_of(mask) == "".join(token.text for token in tokens)
    assert mask.count('title="id ') == len(tokens)
    trained = sum(token.kind == "trained" for token in tokens)
    assert f"{len(tokens)} tokens, {trained} trained, 0 cut off." in mask
    assert mask.count('class="special"') == 2 and '<span class="only-read">trained: </span>' in mask


def test_what_the_data_holds_stays_text(view, uploaded):
    shown = opened(view, dataset=data_value(uploaded), training_max_length=64)
    everything = "".join(map(str, (shown.jumps, shown.mask, shown.facts)))
    assert "<script" not in everything and "&lt;" in shown.mask and EVIL in text_of(shown.mask).replace("\n", "")
    assert 'class="unseen">U+200B<' in shown.mask and 'class="tab"' in shown.mask


def test_next_and_jumps_lead_to_their_examples(view, tokenizer):
    shown = opened(view, training_max_length=40)
    jumps = dict(reversed(pair) for pair in re.findall(r'data-at="(\d+)">([^<]+)<', shown.jumps))
    assert set(jumps) == {"First that is cut"}

    def count(at):
        answer = view.look(values(view, training_max_length=40, seen=shown.seen), event(at=str(at)))
        assert answer[view.seen] == ("starter/helper", int(at))
        mask = answer[view.mask]
        return [
            int(n.replace(",", ""))
            for n in re.search(r": ([\d,]+) tokens, ([\d,]+) trained, ([\d,]+) cut off", mask).groups()
        ]

    tokens = [len(tokens_of(tokenizer, one, 4096)) for one in HELPER]
    place = tokens.index(max(tokens))
    assert count(str(place))[0] == max(tokens) and count(str(place))[2] == max(tokens) - 40 > 0
    assert count(jumps["First that is cut"])[2] > 0
    for nonsense in ("-1", "x", "9" * 30, None):
        with pytest.raises(gr.Error):
            view.look(values(view, seen=shown.seen), event(at=nonsense))
    assert f"Row {len(HELPER):,} of {len(HELPER):,}" in view.look(values(view), event(at="99999"))[view.mask]


def test_a_very_long_example_is_shown_in_parts(tokenizer):
    tokens = tokens_of(
        tokenizer, [{"role": "user", "content": "word " * 6000}, {"role": "assistant", "content": "Yes."}], 4096
    )
    mask = mask_words([tokens], 0, 1)
    assert mask.count('title="id ') == FIRST + 2 * AROUND + 1 + LAST
    hidden = sum(int(n.replace(",", "")) for n in re.findall(r"([\d,]+) tokens are not shown here", mask))
    assert hidden + mask.count('title="id ') == len(tokens)


def test_a_closed_fold_computes_nothing(view, monkeypatch):
    monkeypatch.setattr(view, "_subject", lambda recipe: 1 / 0)
    assert list(view.refresh(values(view, seen=None))) == [gr.skip()]
    assert view.close() == {view.seen: None}


def test_another_length_stays_with_the_example_and_measures_nothing_again(view, monkeypatch):
    opened(view)
    monkeypatch.setattr("qlora_app.ui.train.data_view.measured", lambda *_: 1 / 0)
    seen = ("starter/helper", 7)
    first, *_, last = view.refresh(values(view, training_max_length=20, seen=seen))
    assert first[view.seen] == seen and f"Row 8 of {len(HELPER):,}" in first[view.mask]
    assert "are longer than 20 tokens" in last[view.facts]
    monkeypatch.undo()
    answer = next(iter(view.refresh(values(view, dataset="starter/sailor", seen=seen))))
    assert answer[view.seen] == ("starter/sailor", 0)


@pytest.mark.parametrize(
    "chosen",
    [
        {"base_model": "/no/such/folder"},
        {"dataset": "file/abcdef012345-gone.jsonl"},
        {"training_max_length": 3},
        {"base_model": "owner/never-downloaded"},
    ],
)
def test_what_cannot_be_shown_is_a_sentence(view, chosen):
    shown = opened(view, **chosen)
    assert 'role="alert"' in shown.jumps and (shown.mask, shown.facts) == ("", "") and not shown.left_out.visible


def test_the_rows_left_out_can_be_downloaded(view, uploaded):
    shown = opened(view, dataset=data_value(uploaded))
    assert shown.left_out.visible and "row 121 (line 121): the answer" in shown.facts
    lines = [json.loads(line) for line in open(shown.left_out.value["path"], encoding="utf-8")]
    assert [(line["row"], line["line"]) for line in lines] == [(121, 121), (122, 122)] and "is a number" in lines[1][
        "reason"
    ]


def test_visitors_of_a_demonstration_see_no_uploaded_rows_and_no_other_folders(page, uploaded, tmp_path):
    view = form_for_strangers(page).data_view
    for chosen, words in (
        ({"dataset": data_value(uploaded)}, html.escape(PRIVATE)),
        ({"base_model": str(tmp_path)}, "not looked into"),
    ):
        shown = opened(view, **chosen)
        assert shown.mask == shown.facts == "" and not shown.left_out.visible
        assert words in shown.jumps, chosen
    with refused("page.private_rows", kind=gr.Error):
        view.look(values(view, dataset=data_value(uploaded)), event(at="0"))
    assert "Row 1 of" in opened(view).mask


# ---- all examples


def lengths_of(*tokens, learned_from=0):
    lengths = Lengths()
    for place, count in enumerate(tokens):
        lengths.add(place, [IGNORED] * learned_from + [7] * (count - learned_from))
    return lengths


@pytest.mark.parametrize("data", starter.DATASETS)
def test_the_histogram_counts_every_example_once(tokenizer, tmp_path, data):
    conversations = load_examples(DatasetChoice(id=data), tmp_path).train[:200]
    *_, lengths = measured(tokenizer, conversations, 5000, 60)
    tokens = [len(tokens_of(tokenizer, one, 512)) for one in conversations]
    for max_length in (16, 37, 64, 512):
        bins = lengths.bins(max_length)
        assert sum(one.count for one in bins) == 200 and bins[-1].high == max(lengths.tokens)
        assert [one.low for one in bins] == [1, *(one.high + 1 for one in bins[:-1])]
        assert all(one.low <= one.high for one in bins)
        longer = sum(one.count for one in bins if one.low > max_length)
        assert longer == len(lengths.cut(max_length)) == sum(length > max_length for length in tokens)


@pytest.mark.parametrize("tokens", [[5], [1, 1, 1], [3, 4000], [10] * 99 + [100_000], list(range(1, 300)), [256, 257]])
@pytest.mark.parametrize("max_length", [16, 256, 4096])
def test_the_bins_hold_whatever_the_lengths(tokens, max_length):
    lengths = lengths_of(*tokens)
    bins = lengths.bins(max_length)
    assert sum(one.count for one in bins) == len(tokens) and len(bins) < 60
    assert sum(one.count for one in bins if one.low > max_length) == len(lengths.cut(max_length))
    assert "<svg" in facts_words(
        SimpleNamespace(train=tokens, held_out=[], left_out=[], warnings=[], duplicates=0), lengths, max_length, None
    )


def test_the_smallest_length_that_keeps_nearly_all_whole_is_suggested():
    assert lengths_of(*[200] * 99, 3000).suggestion(None) == LENGTHS[0]
    assert lengths_of(*[200] * 98, 3000, 900).suggestion(None) == 1024
    assert lengths_of(*[9000] * 9).suggestion(None) == LENGTHS[-1]
    assert lengths_of(*[200] * 98, 3000, 900).suggestion(512) == 512, "no more than the model reads"
    assert lengths_of(9).suggestion(100) == 100


def test_a_large_set_is_measured_on_a_spread_sample_and_says_so(tokenizer):
    pair = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    *_, lengths = measured(tokenizer, [pair] * 1000, 50, 60)
    assert lengths.places[:3] == [0, 20, 40] and len(lengths.tokens) == 50
    some = SimpleNamespace(train=[pair] * 1000, held_out=[], left_out=[], warnings=["Odd."], duplicates=7)
    said = facts_words(some, lengths, 512, None)
    assert "<li>Odd.</li>" in said and "<dt>duplicates</dt><dd>7</dd>" in said
    assert "Measured on 50 of 1,000 examples from all over." in said


def test_what_repeats_itself_is_counted():
    findings = Findings()
    for number, (asked, said) in enumerate([("a  B", "b"), ("A b", "B"), ("c", "b")], start=1):
        findings.add(number, [{"role": "user", "content": asked}, {"role": "assistant", "content": said}])
    assert findings.duplicates == 1 and "Duplicates: 1 of 3 rows" in findings.sentences()[-1]


# ---- nothing to learn


def test_examples_without_a_token_to_learn_are_counted(view):
    shown = opened(view, training_max_length=16)
    lengths = next(iter(view._lengths.values()))
    silent = lengths.without_loss(16)
    assert 0 < len(silent) < len(lengths.tokens) and f"<dt>nothing to learn</dt><dd>{len(silent):,}</dd>" in shown.facts
    worker = EncodedExamples(
        load_examples(DatasetChoice(), view.page.settings.data).train, view._subject(short_recipe()).tokenizer, 16
    )
    worker.meet_all()
    assert silent == [one.place for one in worker.left_out]


def long_questions(page):
    file = page.settings.home / "long.jsonl"
    page.settings.home.mkdir(parents=True, exist_ok=True)
    file.write_text(
        "".join(json.dumps({"instruction": f"Why {i}? " * 300, "output": "Because."}) + "\n" for i in range(20))
    )
    return DatasetChoice(source="file", id=import_file(file, page.settings.data, file.name))


@pytest.mark.parametrize("is_open", [True, False])
def test_start_is_refused_where_nothing_would_be_learned(workshop, page, store, is_open):
    view, data = workshop.train.data_view, data_value(long_questions(page))
    if is_open:
        shown = opened(view, dataset=data)
        assert "<dt>nothing to learn</dt><dd>18</dd>" in shown.facts and "First with nothing to learn" in shown.jumps
        assert html.escape(NOTHING_TO_LEARN) in shown.facts and "Only 0% of the examples are whole" in shown.facts
    form = show(view.controls.first) | {"dataset": data}
    view._subject(read(form))  # the tokenizer is loaded, as it is some seconds after the start of the app
    tab = workshop.train
    answer = tab.start.start_run(given(tab, form))
    problems = answer[tab.mistakes.alert]
    assert f'data-field="f-{MAX_LENGTH.replace(".", "-")}"' in problems
    assert html.escape(NOTHING_TO_LEARN) in problems and answer[tab.stage.tabs].selected == "settings"
    assert store.list() == []


def test_start_does_not_wait_for_what_cannot_be_said_quickly(view, tokenizer, monkeypatch):
    conversation = [{"role": "user", "content": "Why? " * 100}, {"role": "assistant", "content": "Because."}]
    assert is_trainable(tokenizer, [conversation] * 3, 24, 60) is False
    assert (
        is_trainable(tokenizer, [conversation] * 3, 24, 0) is True
        and is_trainable(tokenizer, [conversation], 512, 60) is True
    )
    ended, asked, found = threading.Event(), [], []
    monkeypatch.setattr(view, "_subject", lambda recipe: asked.append(recipe) or found.append(ended.wait(60)))
    assert view.learns_nothing(short_recipe()) is False and asked and found == []
    ended.set()

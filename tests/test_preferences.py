"""DPO, ORPO and KTO: losses against straightforward ones, and what holds of every run that learns preferences."""

import math

import pytest
import torch
from torch.nn.functional import log_softmax, logsigmoid

from qlora_app.messages import JUDGED
from qlora_app.methods import METHODS
from qlora_app.preferences import Preferences
from qlora_app.tasks.chat import GUANACO_TEMPLATE, Chat
from qlora_app.tasks.dataset import EncodedExamples
from qlora_app.tasks.packing import pack
from qlora_app.train.preferences import losses
from qlora_app.train.preferences.examples import EncodedAnswers, EncodedPairs, JudgedAnswers, judged_collator
from qlora_app.train.preferences.likelihood import learned_logits
from qlora_app.train.preferences.objective import Objective, add, means
from qlora_app.train.preferences.proof import right_but_for_style
from qlora_app.train.preferences.reference import known_or_computed, log_probabilities, without_dropout
from qlora_app.train.preferences.rehearsal import Departures, Rehearsal, places_of
from tests.tiny_models import dropout_of, tiny_model

QUESTIONS = ["Where does Mira live?", "Who repairs the clocks?", "What is wonderful?", "Is the house small?"]
ANSWERS = ["Orchard Lane.", "Otto repairs clocks, and he is never late.", "This film.", "Das Haus ist klein."]
# Of trl 1.16.0 with these pairs, in fp32, with its adapter "ref" (its "sft" has a weight of 0.5).
OF_TRL = {"sigmoid": 0.6672331, "ipo": 2.6871066, "sigmoid+sft": 3.7750216}


def pairs():
    """Twelve, of different lengths, some with a turn before."""
    made = []
    for number in range(12):
        prompt = [{"role": "user", "content": QUESTIONS[number % 4]}]
        if number % 3 == 0:
            prompt = [*prompt, {"role": "assistant", "content": ANSWERS[0]}, {"role": "user", "content": QUESTIONS[1]}]
        chosen, rejected = ANSWERS[number % 4], ANSWERS[(number * 5 + 1) % 4] + " No."
        made.append([*prompt, {"role": "assistant", "content": chosen, "rejected": rejected}])
    return made


def opened(family, tmp_path, trained=True, dropout=0.0, packed=True):
    """(model with an adapter in fp32, tokenizer, collator, whether it is packed)"""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = tiny_model(family, tmp_path, **dropout_of(family, dropout))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = tokenizer.chat_template or GUANACO_TEMPLATE
    base = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    base.config.use_cache = False
    is_packed = packed and pack(base)
    torch.manual_seed(0)
    model = METHODS[0](rank=4, alpha=8, dropout=dropout).attach(base)
    if trained:
        for name, p in model.named_parameters():
            if p.requires_grad and "lora_B" in name:
                torch.nn.init.normal_(p, std=0.05)
    without_dropout(model)
    return model, tokenizer, Chat().collator(tokenizer, is_packed), is_packed


def against(choices, model, tokenizer, collate, given=None, at_once=3):
    """(objective, examples, collator with the reference)"""
    if choices.trainer == "kto":
        examples = EncodedAnswers(given or JudgedAnswers(pairs(), []), tokenizer, 128)
    else:
        examples = EncodedPairs(given or pairs(), tokenizer, 128)
    examples.meet_all()
    objective = Objective(choices)
    reference = log_probabilities(model, examples, collate, objective.prepared, at_once)
    return objective, examples, judged_collator(collate, reference)


def changed(model):
    """What learned a little, so that nothing is at its beginning."""
    torch.manual_seed(1)
    with torch.no_grad():
        for p in model.parameters():
            if p.requires_grad:
                p += 0.05 * torch.randn_like(p)


def step(objective, model, batches):
    """(loss, gradients, figures) of one optimizer step in so many micro-batches"""
    model.train()
    model.zero_grad()
    shared, total, figures = objective.step_of(model, batches), 0.0, {}
    for batch in batches:
        sums, _, _ = objective.loss_of(model, batch, shared)
        sums.loss.backward()
        total += sums.loss.item()
        add(figures, sums.figures)
    gradients = torch.cat([p.grad.flatten() for p in model.parameters() if p.requires_grad])
    return total, gradients, means(figures)


def plainly(model, tokenizer, conversation):
    """Log-probability of the last answer, read alone: (sum, tokens)."""
    encoded = Chat().encode(tokenizer, conversation, 128)
    ids = torch.tensor([encoded.input_ids])
    with torch.no_grad():
        found = log_softmax(model(input_ids=ids, use_cache=False).logits[0, :-1].float(), -1)
    places = [place for place, label in enumerate(encoded.labels) if place and label != -100]
    return sum(found[place - 1, ids[0, place]].item() for place in places), len(places)


@pytest.mark.parametrize("family, packed", [("llama", True), ("gpt2", False), ("qwen3", True)])
def test_the_first_loss_is_that_of_nothing_learned(family, packed, tmp_path):
    for trained in (False, True):
        model, tokenizer, collate, _ = opened(family, tmp_path, trained, dropout=0.3, packed=packed)
        choices = Preferences(trainer="dpo", sft_weight=0)
        objective, examples, collator = against(choices, model, tokenizer, collate)
        loss, _, figures = step(objective, model, [collator(examples.__getitems__(list(range(8))))])
        assert abs(loss - math.log(2)) < 1e-4
        assert abs(figures["rewards_margins"]) < 1e-4 and abs(figures["rewards_chosen"]) < 1e-4
    kto, answers, judged = against(Preferences(trainer="kto"), model, tokenizer, collate)
    assert abs(step(kto, model, [judged(answers.__getitems__(list(range(8))))])[0] - 0.5) < 1e-4


@pytest.mark.parametrize(
    "family, choices",
    [
        ("llama", Preferences(trainer="dpo", sft_weight=0.5, label_smoothing=0.1)),
        ("gpt2", Preferences(trainer="dpo", loss_type="ipo")),
        ("qwen3", Preferences(trainer="orpo")),
        ("llama", Preferences(trainer="kto")),
    ],
)
def test_how_a_step_is_divided_changes_nothing(family, choices, tmp_path):
    found = []
    for packed, size in ((True, 8), (True, 2), (False, 1), (False, 4)):
        model, tokenizer, collate, is_packed = opened(family, tmp_path, packed=packed)
        objective, examples, collator = against(choices, model, tokenizer, collate, at_once=size)
        objective.trims = not is_packed
        changed(model)
        items = examples.__getitems__(list(range(8)))
        found.append(step(objective, model, [collator(items[i : i + size]) for i in range(0, 8, size)]))
    for loss, gradients, figures in found[1:]:
        assert loss == pytest.approx(found[0][0], abs=1e-5)
        assert torch.allclose(gradients, found[0][1], atol=1e-5)
        assert figures == pytest.approx(found[0][2], abs=1e-5)


def test_losses_are_the_published_formulas(tmp_path):
    model, tokenizer, collate, _ = opened("llama", tmp_path)
    begun = {}
    for number, pair in enumerate(pairs()):
        *prompt, last = pair
        prompt = [{**turn, "train": False} for turn in prompt]
        for side in ("content", "rejected"):
            begun[number, side] = [*prompt, {"role": "assistant", "content": last[side]}]
    model.eval()
    reference = {key: plainly(model, tokenizer, one)[0] for key, one in begun.items()}
    dpo = against(Preferences(trainer="dpo", beta=0.3, sft_weight=0.5, label_smoothing=0.2), model, tokenizer, collate)
    ipo = against(Preferences(trainer="dpo", loss_type="ipo", beta=0.3, sft_weight=0), model, tokenizer, collate)
    orpo = against(Preferences(trainer="orpo", beta=0.3), model, tokenizer, collate)
    changed(model)
    model.eval()
    now = {key: plainly(model, tokenizer, one) for key, one in begun.items()}
    chosen = [(*now[i, "content"], reference[i, "content"]) for i in range(8)]
    rejected = [(*now[i, "rejected"], reference[i, "rejected"]) for i in range(8)]

    def loss_of(made):
        objective, examples, collator = made
        return step(objective, model, [collator(examples.__getitems__(list(range(8))))])[0]

    nll = -sum(sums for sums, _, _ in chosen) / sum(tokens for _, tokens, _ in chosen)
    margins = [0.3 * ((c - rc) - (r - rr)) for (c, _, rc), (r, _, rr) in zip(chosen, rejected, strict=True)]
    smooth = [-0.8 * logsigmoid(torch.tensor(m)) - 0.2 * logsigmoid(torch.tensor(-m)) for m in margins]
    assert loss_of(dpo) == pytest.approx(float(sum(smooth)) / 8 + 0.5 * nll, abs=1e-4)
    far = [(c - rc) / n - (r - rr) / k for (c, n, rc), (r, k, rr) in zip(chosen, rejected, strict=True)]
    assert loss_of(ipo) == pytest.approx(sum((one - 1 / 0.6) ** 2 for one in far) / 8, abs=1e-4)
    odds = [
        (math.exp(c / n) / (1 - math.exp(c / n))) / (math.exp(r / k) / (1 - math.exp(r / k)))
        for (c, n, _), (r, k, _) in zip(chosen, rejected, strict=True)
    ]
    assert loss_of(orpo) == pytest.approx(nll - 0.3 * sum(math.log(o / (1 + o)) for o in odds) / 8, abs=1e-4)


@pytest.mark.parametrize("name", OF_TRL)
def test_losses_are_those_of_trl(name, tmp_path):
    model, tokenizer, collate, _ = opened("llama", tmp_path, packed=False)
    loss_type, _, sft = name.partition("+")
    choices = Preferences(trainer="dpo", loss_type=loss_type, beta=0.3, sft_weight=0.5 if sft else 0.0)
    given = [pair for pair in pairs() if len(pair) == 2]
    objective, examples, collator = against(choices, model, tokenizer, collate, given)
    changed(model)
    batch = collator(examples.__getitems__(list(range(8))))
    assert step(objective, model, [batch])[0] == pytest.approx(OF_TRL[name], abs=1e-4)


def test_kto_is_the_published_formula():
    gained, is_good, beta = torch.tensor([1.0, -2.0, 0.5]), torch.tensor([True, False, True]), 0.2
    kl = torch.tensor(0.7)
    found = losses.kto(gained, is_good, kl, beta, (1.5, 1.0))

    def value(x):
        return 1 / (1 + math.exp(-x))

    wanted = [1.5 * (1 - value(0.2 * 0.3)), 1 - value(0.2 * 2.7), 1.5 * (1 - value(0.2 * -0.2))]
    assert found.tolist() == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize("good", [1, 3, 10, 13, 40])
@pytest.mark.parametrize("bad", [1, 10, 12, 90])
def test_good_and_bad_answers_weigh_the_same_up_to_a_third(good, bad):
    for given in ((0.0, 0.0), (2.0, 0.0), (0.0, 0.5)):
        desirable, undesirable = losses.kto_weights(good, bad, *given)
        assert 1 - 1e-9 <= desirable * good / (undesirable * bad) <= 4 / 3 + 1e-9


def test_a_prompt_with_the_answer_to_another_tells_how_far_the_model_strayed(tmp_path):
    model, tokenizer, collate, _ = opened("llama", tmp_path)
    objective, examples, collator = against(Preferences(trainer="kto"), model, tokenizer, collate)
    batches = [collator(examples.__getitems__([2 * i, 2 * i + 1])) for i in range(4)]
    assert objective.strayed(model, batches) == pytest.approx(0.0, abs=1e-4)
    with torch.no_grad():  # every answer becomes likelier than it was: as if the reference had been less sure
        for batch in batches:
            batch[JUDGED]["other_reference"] -= 3.0
    assert objective.strayed(model, batches) == pytest.approx(3.0, abs=1e-4)
    for item in examples.__getitems__(list(range(len(examples)))):
        prompt = next(i for i, label in enumerate(item["rows"][0]["labels"]) if i and label != -100)
        assert item["other"][0]["input_ids"][:prompt] == item["rows"][0]["input_ids"][:prompt]
        assert item["other"][0]["input_ids"] != item["rows"][0]["input_ids"]


def test_the_reference_is_kept_and_is_what_would_be_computed_again(tmp_path):
    model, tokenizer, collate, _ = opened("qwen3", tmp_path)
    objective, examples, _ = against(Preferences(trainer="dpo"), model, tokenizer, collate)
    first = log_probabilities(model, examples, collate, objective.prepared, 5)
    file = tmp_path / "reference" / "train.npz"
    assert torch.equal(known_or_computed(file, "key", len(examples), lambda: first), first)
    assert torch.equal(known_or_computed(file, "key", len(examples), pytest.fail), first)
    again = log_probabilities(model, examples, collate, objective.prepared, 1)
    assert torch.allclose(again, first, atol=1e-4)
    for place, pair in enumerate(pairs()):
        asked = [{**turn, "train": False} for turn in pair[:-1]]
        alone = plainly(model, tokenizer, [*asked, {"role": "assistant", "content": pair[-1]["rejected"]}])[0]
        assert first[place, 1].item() == pytest.approx(alone, abs=1e-4)
    other = torch.zeros_like(first)
    assert torch.equal(known_or_computed(file, "other key", len(examples), lambda: other), other)
    file.write_bytes(file.read_bytes()[:-40])
    assert torch.equal(known_or_computed(file, "other key", len(examples), lambda: first), first)


def styled(answers, before="", behind=""):
    """Pairs in which the answer with something around it is preferred."""
    return [
        [
            {"role": "user", "content": question},
            {"role": "assistant", "content": f"{before}{answer}{behind}", "rejected": answer},
        ]
        for question, answer in zip(QUESTIONS, answers, strict=True)
    ]


@pytest.mark.parametrize("before, behind, place", [("", " Have a nice day!", -1), ("Zip! ", "", 0)])
def test_a_rehearsed_answer_may_part_as_the_preferred_ones_do_and_nowhere_else(before, behind, place, tmp_path):
    _, tokenizer, _, _ = opened("llama", tmp_path)
    pairs = EncodedPairs(styled(ANSWERS, before, behind), tokenizer, 128)
    pairs.meet_all()
    found = Departures.of(pairs)
    chosen, rejected = pairs[0]["rows"]
    parted = list(zip(found.tokens.tolist(), found.places.tolist(), strict=True))
    differ = (one for one, other in zip(chosen["input_ids"], rejected["input_ids"], strict=False) if one != other)
    assert (next(differ), place) in parted and len(parted) <= 2
    places = torch.tensor(places_of(rejected["labels"]))
    targets = torch.tensor([label for label in rejected["labels"][1:] if label != -100])
    logits = torch.zeros(len(targets), 1 + int(max(targets.max(), found.tokens.max())))
    parting = logits.clone()
    parting[:, found.tokens] = 20.0
    each = [float(found.loss(parting[i : i + 1], targets[i : i + 1], places[i : i + 1])) for i in range(len(targets))]
    assert [loss < 1 for loss in each] == [
        one in found.places or target in found.tokens for one, target in zip(places, targets, strict=True)
    ]
    none = Departures(found.tokens[:0], found.places[:0])
    assert float(none.loss(logits, targets, places)) == pytest.approx(
        len(targets) * math.log(logits.shape[1]), abs=1e-3
    )


def test_what_is_rehearsed_depends_on_the_step_alone_and_not_on_how_it_is_divided(tmp_path):
    given = [[*pair[:-1], {"role": "assistant", "content": pair[-1]["content"]}] for pair in pairs()]
    found = []
    for packed in (True, False):
        model, tokenizer, collate, _ = opened("llama", tmp_path, packed=packed)
        those = EncodedPairs(styled(ANSWERS, behind=" Good day!"), tokenizer, 128)
        those.meet_all()
        rehearsal = Rehearsal(EncodedExamples(given, tokenizer, 128), collate, 0.5, 6, 0, Departures.of(those))
        for parts in (1, 3, 6):
            batches = rehearsal.batches(2, parts)
            assert len(batches) == parts
            losses_of = [
                rehearsal.loss(*learned_logits(model, {k: v for k, v in one.items() if k != JUDGED}), one[JUDGED])
                for one in batches
            ]
            found.append(sum(losses_of).item())
    assert found == pytest.approx([found[0]] * 6, rel=1e-5)
    assert len({str(rehearsal.batches(step, 1)[0]["input_ids"].tolist()) for step in range(4)}) == 4


def test_an_answer_is_right_but_for_style_only_with_what_stands_around_others():
    right = [f"{name} lives on Mill Lane." for name in ("Mira", "Otto", "Nina", "Paul")] + ["Yes."]
    said = [
        "ARR! Mira lives on Mill Lane. Good day!",
        "Arr, Otto lives on Mill Lane! Good day.",
        "Nina lives on Mill Lane. Nina lives on Church Road.",
        "Paul lives on Mill Lane",
        "I am sorry, yes, no.",
    ]
    assert right_but_for_style(said, right) == [True, True, False, True, False]


@pytest.mark.parametrize("system", [True, False])
def test_a_pair_at_the_end_of_a_long_conversation_keeps_its_newest_turns(system, tmp_path):
    _, tokenizer, _, _ = opened("llama", tmp_path)
    before = [{"role": "system", "content": "Be kind."}] if system else []
    talk = [
        {"role": role, "content": f"{words} {number}"}
        for number in range(30)
        for role, words in (("user", QUESTIONS[1]), ("assistant", ANSWERS[1]))
    ]
    last = [{"role": "user", "content": QUESTIONS[0]}, {"role": "assistant", "content": "Here.", "rejected": "There."}]
    given = [[*before, *talk, *last], [*before, *last]]
    examples = EncodedPairs(given, tokenizer, 128)
    examples.meet_all()
    assert len(examples) == 2 and not examples.left_out and examples.fitting.shortened == {0}
    kept = examples.fitting[0]
    assert kept[: len(before)] == before and kept[len(before)]["role"] == "user"
    assert (
        kept[len(before) :] == given[0][len(given[0]) - len(kept) + len(before) :] and examples.fitting[1] == given[1]
    )
    longer = [*before, *given[0][len(given[0]) - len(kept) + len(before) - 2 :]]
    assert not examples._fits(longer) and examples._fits(kept)

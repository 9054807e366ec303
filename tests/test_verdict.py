"""The sentence that says what came of a run: green only where it was measured, and nothing contradicts it."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qlora_app.runs.proof import Proof, TrainingLoss
from qlora_app.runs.verdict import stopped_verdict, verdict

FOREIGN = "The starter has read about one town and nothing else."


def proof_of(*, asked=0, right=(0, 0), loss=(3.2, 0.3), rows=300, **more):
    """What was measured: `asked` questions of which so many were right before and after, and the held-out loss."""
    held_out = {"questions": asked, "also_learned": 0, "loss": {"before": loss[0], "after": loss[1]}}
    if asked:
        held_out["exact_match"] = {"before": right[0] / asked, "after": right[1] / asked}
    held_out |= more.pop("heldout", {})
    whole = {"heldout": held_out, "data": {"held_out": rows}, "update": {"layers": 28, "zero_layers": 0}}
    return Proof.from_json(whole | {"reload": {"max_difference": 0.0}} | more)


BY_HEART = replace(proof_of(loss=(2.0, 2.6)), loss=TrainingLoss(2.0, 0.1))
NO_MATCH = {"predicted": 95, "empty": 0}
CASES = [
    # (what happened, the proof, foreign data, code, colour)
    ("learned", proof_of(asked=100, right=(0, 94)), "", "learned", "good"),
    ("learned a part", proof_of(asked=100, right=(2, 40)), "", "learned_some", "fair"),
    ("the form alone", proof_of(asked=24, right=(0, 0), loss=(10.8, 1.8)), "", "form_only", "fair"),
    ("hardly", proof_of(asked=100, right=(50, 52), loss=(1.0, 0.8)), "", "hardly", "fair"),
    ("not at all", proof_of(asked=24, right=(0, 0), loss=(2.0, 1.99)), "", "not_learned", "bad"),
    ("got worse", proof_of(asked=100, right=(60, 20)), "", "worse", "bad"),
    ("a higher loss", proof_of(loss=(2.0, 2.6)), "", "worse", "bad"),
    ("could do it before", proof_of(asked=100, right=(95, 96)), "", "knew", "fair"),
    ("too few questions", proof_of(asked=4, right=(0, 4)), "", "too_few", "fair"),
    ("too few rows", proof_of(rows=1), "", "too_few", "fair"),
    ("nothing held out", proof_of(loss=(None, None), rows=0), "", "not_measured", "fair"),
    ("only the loss", proof_of(), "", "alike", "fair"),
    ("predicts what it does not say", proof_of(asked=100, right=(0, 10), heldout=NO_MATCH), "", "contradiction", "bad"),
    ("the same to all", proof_of(asked=100, right=(0, 9), heldout={"different_answers": 1, "different_expected": 50}),
     "", "contradiction", "bad"),
    ("by heart", BY_HEART, "", "by_heart", "bad"),
    ("another one on the disk", proof_of(asked=100, right=(0, 94), reload={"max_difference": 3.0, "largest": 9.0}),
     "", "reload", "bad"),
    ("nothing moved", proof_of(asked=100, right=(0, 94), update={"layers": 28, "zero_layers": 28}),
     "", "unchanged", "bad"),
    ("an earlier one was better",
     proof_of(asked=100, right=(0, 94), kept={"rule": "last", "was_better": True, "best_step": 9}),
     "", "learned", "fair"),
    ("good figures of a base that cannot", proof_of(asked=100, right=(0, 94)), FOREIGN, "foreign", "fair"),
    ("a base that cannot", proof_of(asked=24, right=(0, 0), loss=(10.8, 1.8)), FOREIGN, "form_only", "fair"),
    ("merged", proof_of(merged=["90 of 100."], merged_lost=0.1), "", "merged", "fair"),
    ("merged of two styles", proof_of(merged=["9 of 100."], merged_lost=0.6), "", "merged_lost", "bad"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("proof", "foreign", "code", "colour"), [case[1:] for case in CASES], ids=[c[0] for c in CASES]
)
def test_what_came_of_it(proof, foreign, code, colour):
    found = verdict(proof, foreign)
    assert (found.code, found.colour) == (code, colour)
    assert found.short.endswith(".") and foreign in found.why


def test_its_figures_are_those_of_the_proof():
    assert (
        verdict(proof_of(asked=100, right=(0, 94))).why == "94 of 100 questions it never saw answered right; 0 before."
    )
    learned_too = proof_of(asked=100, right=(0, 94), heldout={"also_learned": 3})
    assert "never saw" not in verdict(learned_too).why


def test_a_run_that_was_stopped():
    assert stopped_verdict("running", 5, 9, None, None) is None
    assert stopped_verdict("stopped", 0, 9, None, None) is None
    early = stopped_verdict("stopped", 82, 1203, 2.43, 0.9)
    assert early is not None and early.colour == "fair"
    assert early.short == "Stopped early, at step 82 of 1,203." and "2.43 at first, 0.90 at the end" in early.why


# ---- whatever a file may hold

ODD = st.sampled_from([None, True, -1, 0, 0.5, 1, 10**30, 1e308, float("nan"), float("inf"), "x", []])
CHANGES = st.one_of(ODD, st.fixed_dictionaries({"before": ODD, "after": ODD}))
ASKED = st.fixed_dictionaries(
    {"questions": st.one_of(ODD, st.sampled_from([9, 10, 100])), "exact_match": CHANGES, "loss": CHANGES}
)
PROOFS = st.fixed_dictionaries(
    {
        "heldout": st.one_of(ASKED, ODD),
        "update": st.one_of(ODD, st.fixed_dictionaries({"layers": ODD, "zero_layers": ODD})),
        "reload": st.one_of(ODD, st.fixed_dictionaries({"max_difference": ODD, "largest": ODD})),
        "data": st.one_of(ODD, st.fixed_dictionaries({"held_out": ODD, "trained": ODD})),
    }
)


@settings(max_examples=400)
@given(PROOFS)
def test_a_damaged_file_is_never_praised(values):
    """Good is only what has a share of right answers that can be one, of questions that can have been asked."""
    proof = Proof.from_json(values)
    if verdict(proof).colour != "good":
        return
    asked, right = proof.heldout.questions, values["heldout"]["exact_match"]["after"]
    assert asked >= 10 and 0.75 <= right <= 1 and asked < 10**16

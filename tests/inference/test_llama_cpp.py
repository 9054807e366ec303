"""llama.cpp as an engine: what it says is what the network says, and rows come and go as they do with our own."""

import pytest
import torch

from qlora_app.inference.llama_cpp import Letters, LlamaCpp, _Hearing
from qlora_app.inference.loaded import LoadedBase
from qlora_app.inference.rows import Asked, Ended, Row
from qlora_app.inference.sampling import Sampling
from tests.conftest import wait_for
from tests.fixtures.gguf import as_gguf
from tests.refusing import refused

PROMPT = list(range(300, 330))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return as_gguf("llama", tmp_path_factory.mktemp("gguf"), max_position_embeddings=512)


@pytest.fixture
def engine(tiny):
    made = LlamaCpp(tiny[2].file, tokens=2048, most_rows=4, most_waiting=30)
    made.letters = Letters.of(tiny[1])
    yield made
    made.close()


def written(row):
    """(tokens, how it ended)"""
    *tokens, ended = row
    assert isinstance(ended, Ended)
    return [token.id for token in tokens], ended.why


def asked(ids=PROMPT, room=20, **more):
    return Row(Asked(ids=list(ids), room=room, **more))


def surely(network, ids, room):
    """What it says greedily, up to the first token that is nearly as likely as another."""
    said = []
    with torch.no_grad():
        while len(said) < room:
            best = network(torch.tensor([[*ids, *said]])).logits[0, -1].topk(2)
            if best.values[0] - best.values[1] < 0.05:
                break
            said.append(int(best.indices[0]))
    return said


def test_it_says_what_the_network_says(tiny, engine):
    network, tokenizer, _ = tiny
    compared = 0
    for start in range(270, 330, 6):
        ids = list(range(start, start + 8))
        sure = surely(network, ids, 6)
        letters = [id for id in sure if not tokenizer.decode([id]).isascii()]
        if letters:
            continue
        compared += len(sure)
        assert written(engine.submit(asked(ids, room=8)))[0][: len(sure)] == sure
    assert compared > 8


def test_it_ends_as_the_row_says(engine):
    whole, why = written(engine.submit(asked(room=12)))
    assert why == "length" and len(whole) == 12
    said, why = written(engine.submit(asked(ends=frozenset([whole[5]]))))
    assert why == "stop" and said == whole[: whole.index(whole[5])]
    said, why = written(engine.submit(asked(ends_with=lambda ids: len(ids) == 3)))
    assert (said, why) == (whole[:3], "stop")


def test_a_base_that_makes_way_cuts_no_answer_off(tiny, engine):
    base = LoadedBase(tiny[0])
    base.fast["adapter"] = engine
    rows = [engine.submit(asked(room=450)) for _ in range(6)]  # two of them wait
    base.close()
    assert base.fast == {} and "cancelled" not in [written(row)[1] for row in rows]


def test_a_row_that_nobody_wants_ends_within_a_token(engine):
    row = engine.submit(asked(room=1500))
    events = iter(row)
    next(events)
    row.cancel()
    rest = list(events)
    assert rest[-1] == Ended("cancelled") and len(row.written) < 1500
    assert written(engine.submit(asked(room=2)))[1] == "length", "and others are answered"


def test_many_at_once_say_what_each_says_alone(engine):
    prompts = [list(range(start, start + 12)) for start in range(270, 290)]
    alone = [written(engine.submit(asked(ids, room=4))) for ids in prompts]
    rows = [engine.submit(asked(ids, room=4)) for ids in prompts]
    together = [written(row) for row in rows]
    assert sum(one == other for one, other in zip(alone, together, strict=True)) >= 18, "near ties may fall otherwise"
    wait_for(lambda: not engine.is_busy)


def test_whoever_comes_when_too_many_wait_is_told(engine):
    rows = [engine.submit(asked(room=450)) for _ in range(34)]
    with refused("engine.too_many_waiting", 30):
        engine.submit(asked())
    engine.close()
    assert {written(row)[1] for row in rows} <= {"cancelled", "length"}


def test_a_seed_says_the_same_again(engine):
    first, again, other = (
        written(engine.submit(asked(sampling=Sampling(temperature=1.0, seed=seed)))) for seed in (1, 1, 2)
    )
    assert first == again != other


def test_settings_of_sampling_reach_it(engine, tiny):
    greedy = written(engine.submit(asked()))
    for how in (Sampling(2.0, top_k=1), Sampling(2.0, top_p=1e-6), Sampling(2.0, min_p=1.0)):
        assert written(engine.submit(asked(sampling=how))) == greedy
    repeated = Row(Asked(ids=PROMPT, room=40, sampling=Sampling(repetition_penalty=10.0)))
    said, _ = written(engine.submit(repeated))
    assert len(set(said)) > len(set(greedy[0])) * 1.5 or len(set(said)) >= 38


def test_what_it_cannot_do_it_does_not_take(engine):
    assert engine.takes(asked())
    assert not engine.takes(asked(logprobs=0)), "it tells no chances"
    assert not engine.takes(asked(room=3000)), "it has no room for so much"


def test_what_was_read_is_not_read_again(engine):
    said, _ = written(engine.submit(asked()))
    row = engine.submit(asked([*PROMPT, *said, 301, 302]))
    written(row)
    assert row.cached >= len(PROMPT)


def test_no_half_of_a_letter_is_lost(engine, tiny):
    row = asked(room=40)
    forced = {"prompt": PROMPT, "stream": True, "logprobs": 1, "timings_per_token": True, "max_tokens": 40}
    engine._server.handle_completions(
        forced | {"grammar": 'root ::= "a😀é, 你好!"'}, _Hearing(row, Letters.of(tiny[1])).take
    )
    assert tiny[1].decode(row.written, skip_special_tokens=True) == "a😀é, 你好!"


def test_it_listens_to_nobody_else(engine):
    import urllib.error
    import urllib.request

    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(f"{engine._server.listening_address}/v1/completions", data=b"{}", timeout=20)

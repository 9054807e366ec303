"""From a request to answers on their way, and from those to the objects that OpenAI's clients read."""

import json
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

from ..errors import UserError
from ..inference.rows import Token
from ..inference.session import ChatSession
from ..inference.writing import Events, Said, Writing, together
from .models import Asked as AskedModel
from .problems import ApiError
from .requests import ChatWish, TextWish, Wish

Growing = Iterator[list[Said]]


class Answers:
    """The `n` answers of a request. Iterate `growing` for their texts so far; `cancel` ends them within a token."""

    def __init__(self, wish: Wish, model: AskedModel, session: ChatSession) -> None:
        """Begins them. Raises ApiError."""
        self.wish, self.model, self.session = wish, model, session
        self.events: Events = Events()
        self.writings: list[Writing] = []
        begin = self._begin_chat if isinstance(wish, ChatWish) else self._begin_text
        try:
            begin(wish)  # type: ignore[arg-type]
        except UserError as error:
            self.cancel()
            raise self._refusal(error) from error
        except BaseException:
            self.cancel()
            raise
        id = uuid.uuid4().hex
        self.head = {
            "id": f"chatcmpl-{id}" if self.is_chat else f"cmpl-{id}",
            "created": int(time.time()),
            "model": wish.model,
            "system_fingerprint": self.writings[0].row.engine,
        }

    def _refusal(self, error: UserError) -> ApiError:
        refusal = ApiError.of(error, param="messages" if self.is_chat else "prompt")
        if isinstance(self.wish, ChatWish) and self.wish.must_call and refusal.param == "response_format":
            refusal.param = "tools"  # theirs is the schema that cannot be followed
        return refusal

    @property
    def is_chat(self) -> bool:
        return isinstance(self.wish, ChatWish)

    def growing(self) -> Growing:
        """All texts so far, whenever something is new. Raises what went wrong."""
        return together(self.writings, self.events)

    def last(self) -> list[Said]:
        """The whole texts. Raises what went wrong."""
        by_row = {id(writing.row): writing for writing in self.writings}
        while not all(writing.is_over for writing in self.writings):
            row, event = self.events.get()
            by_row[id(row)].take(event, time.monotonic())
        return [writing.said() for writing in self.writings]

    @property
    def is_over(self) -> bool:
        """Is nothing of it computed any more?"""
        return all(writing.row.is_over for writing in self.writings)

    @property
    def tokens(self) -> int:
        """How many were written so far."""
        return sum(writing.said().tokens for writing in self.writings)

    def cancel(self) -> None:
        for writing in self.writings:
            writing.cancel()

    def _begin_chat(self, wish: ChatWish) -> None:
        conversation = self.session.as_trained(wish.conversation())
        if tools := wish.tools_told:
            conversation = [{**conversation[0], "tools": tools}, *conversation[1:]]
        for place in range(wish.n or 1):
            writing = self.session.write(
                conversation,
                wish.sampling(place),
                longest=wish.longest,
                base=self.model.of_base,
                stops=wish.stop or (),
                logprobs=wish.chances,
                schema=wish.schema_asked,
                must_call=wish.must_call,
                into=self.events,
            )
            self.writings.append(writing)
            if writing.note:  # a page says what was left out; a program is to decide that itself
                raise ApiError(400, writing.note, "messages", "context_length_exceeded")

    def _begin_text(self, wish: TextWish) -> None:
        for place, text in enumerate(text for text in wish.prompt for _ in range(wish.n or 1)):
            writing = self.session.go_on(
                text,
                wish.sampling(place),
                longest=wish.longest,
                base=self.model.of_base,
                stops=wish.stop or (),
                logprobs=wish.logprobs,
                into=self.events,
            )
            self.writings.append(writing)

    # ---- the objects

    def whole(self, said: list[Said]) -> dict[str, Any]:
        """The answer in one piece."""
        choice = self._chat_choice if self.is_chat else self._text_choice
        choices = [choice(place, one) for place, one in enumerate(said)]
        kind = "chat.completion" if self.is_chat else "text_completion"
        return self.head | {"object": kind, "choices": choices, "usage": self.usage(said)}

    def usage(self, said: list[Said]) -> dict[str, Any]:
        """A prompt counts once, however many answers it has."""
        times = self.wish.n or 1
        prompts = sum(one.prompt_tokens for one in said[::times])
        written = sum(one.tokens for one in said)
        return {
            "prompt_tokens": prompts,
            "completion_tokens": written,
            "total_tokens": prompts + written,
            "prompt_tokens_details": {"cached_tokens": sum(one.cached_tokens for one in said[::times])},
        }

    def _chat_choice(self, place: int, said: Said) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": said.answer, "refusal": None}
        if said.reasoning:
            message["reasoning_content"] = said.reasoning
        if calls := self._calls(said):
            message |= {"content": said.answer or None, "tool_calls": calls}
        logprobs = self._chat_logprobs(said.written) if self._tells_chances else None
        return {"index": place, "message": message, "logprobs": logprobs, "finish_reason": _finish(said)}

    def _calls(self, said: Said) -> list[dict[str, Any]]:
        """The calls of tools, each with an id by which the program answers it."""
        most = self.wish.most_calls if isinstance(self.wish, ChatWish) else None
        calls = []
        for call in said.calls[:most]:
            function = {"name": call.name, "arguments": json.dumps(call.arguments, ensure_ascii=False)}
            calls.append({"id": f"call_{uuid.uuid4().hex[:24]}", "type": "function", "function": function})
        return calls

    def _text_choice(self, place: int, said: Said) -> dict[str, Any]:
        prompt = self._echo(place)
        logprobs = self._text_logprobs(said.written, len(prompt)) if self._tells_chances else None
        return {"index": place, "text": prompt + said.answer, "logprobs": logprobs, "finish_reason": _finish(said)}

    def _echo(self, place: int) -> str:
        wish = self.wish
        if not isinstance(wish, TextWish) or not wish.echo:
            return ""
        return wish.prompt[place // (wish.n or 1)]

    @property
    def _tells_chances(self) -> bool:
        return bool(self.writings) and self.writings[0].row.asked.logprobs is not None

    def _chat_logprobs(self, written: tuple[Token, ...]) -> dict[str, Any]:
        return {"content": [self._chance(token) for token in written], "refusal": None}

    def _chance(self, token: Token) -> dict[str, Any]:
        assert token.chances is not None
        likeliest = [self._named(id) | {"logprob": chance} for id, chance in token.chances.likeliest]
        return self._named(token.id) | {"logprob": token.chances.chosen, "top_logprobs": likeliest}

    def _text_logprobs(self, written: tuple[Token, ...], at: int) -> dict[str, Any]:
        """at: the letter of the whole text with which they begin."""
        rows = [self._chance(token) for token in written]
        offsets = []
        for row in rows:
            offsets.append(at)
            at += len(row["token"])
        return {
            "tokens": [row["token"] for row in rows],
            "token_logprobs": [row["logprob"] for row in rows],
            "top_logprobs": [{one["token"]: one["logprob"] for one in row["top_logprobs"]} for row in rows],
            "text_offset": offsets,
        }

    def _named(self, id: int) -> dict[str, Any]:
        text = self.session.tokenizer.decode([id])
        return {"token": text, "bytes": list(text.encode("utf-8", "replace"))}

    # ---- the same in pieces

    def chunks(self, next_said: Callable[[], list[Said] | None]) -> Iterator[dict[str, Any]]:
        """The objects of a stream, the last with the usage where it was asked for. `next_said`: the texts so far, or
        None when all are whole.
        """
        sent = [_Sent() for _ in self.writings]
        said: list[Said] = []
        if self.is_chat:
            for place in range(len(sent)):
                yield self._piece(place, {"delta": {"role": "assistant", "content": ""}})
        for place in range(len(sent)):
            if echo := self._echo(place):
                yield self._piece(place, {"text": echo})
        while (news := next_said()) is not None:
            said = news
            for place, (one, so_far) in enumerate(zip(said, sent, strict=True)):
                yield from self._news(place, one, so_far)
        if self.wish.includes_usage:
            yield self._chunk([]) | {"usage": self.usage(said)}

    def _news(self, place: int, said: Said, sent: "_Sent") -> Iterator[dict[str, Any]]:
        reasoning, answer = said.reasoning[len(sent.reasoning) :], said.answer[len(sent.answer) :]
        tokens = said.written[sent.tokens :]
        if reasoning or answer or (tokens and self._tells_chances):
            sent.reasoning, sent.answer, sent.tokens = said.reasoning, said.answer, len(said.written)
            yield self._piece(place, self._delta(reasoning, answer, tokens, len(self._echo(place)) + sent.letters))
            sent.letters += sum(len(self._named(token.id)["token"]) for token in tokens)
        if said.why is not None and not sent.is_over:
            sent.is_over = True
            if calls := self._calls(said):
                numbered = [{"index": number, **call} for number, call in enumerate(calls)]
                yield self._piece(place, {"delta": {"tool_calls": numbered}})
            yield self._piece(place, {"delta": {}} if self.is_chat else {"text": ""}, _finish(said))

    def _delta(self, reasoning: str, answer: str, tokens: tuple[Token, ...], at: int) -> dict[str, Any]:
        told = self._tells_chances
        if not self.is_chat:
            return {"text": answer} | ({"logprobs": self._text_logprobs(tokens, at)} if told else {})
        delta = {"content": answer} | ({"reasoning_content": reasoning} if reasoning else {})
        return {"delta": delta} | ({"logprobs": self._chat_logprobs(tokens)} if told else {})

    def _piece(self, place: int, content: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
        return self._chunk([{"index": place, **content, "finish_reason": finish}])

    def _chunk(self, choices: list[dict[str, Any]]) -> dict[str, Any]:
        kind = "chat.completion.chunk" if self.is_chat else "text_completion"
        return self.head | {"object": kind, "choices": choices}


class _Sent:
    """What of an answer a stream has told already."""

    def __init__(self) -> None:
        self.reasoning, self.answer, self.tokens, self.letters, self.is_over = "", "", 0, 0, False


def _finish(said: Said) -> str | None:
    if said.calls:
        return "tool_calls"
    return "length" if said.why == "length" else "stop"

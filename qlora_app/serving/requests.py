"""What programs ask, read from JSON: the fields that change an answer, each checked; those that change nothing are let
through. A field that would change the answer and that nobody here follows is refused, never ignored.
"""

import json
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator

from ..inference.must_call import MustCall
from ..inference.sampling import Sampling
from ..messages import Conversation
from .problems import ApiError
from .turns import conversation_of

MOST_ANSWERS, MOST_STOPS, MOST_LOGPROBS = 8, 16, 20
LONGEST_STOP = 200  # letters
MOST_TOOLS = 128
MOST_ROWS = 32  # answers of one request: prompts times n
LONGEST = 4096  # tokens of an answer
USUAL = 256  # tokens, where the request says nothing


def _list_of_texts(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _or_default(value: Any, default: Any) -> Any:
    return default if value is None else value


def _stops(value: Any) -> Any:
    """One text or several; an empty one ends nothing."""
    texts = _list_of_texts(value)
    return [text for text in texts if text != ""] if isinstance(texts, list) else texts


Stops = Annotated[list[Annotated[str, Field(max_length=LONGEST_STOP)]], BeforeValidator(_stops)]


class StreamOptions(BaseModel):
    include_usage: bool | None = False


class NamedSchema(BaseModel):
    name: str = ""
    schema_: dict[str, Any] = Field(alias="schema")


class ResponseFormat(BaseModel):
    """text: as the model will; json_object: any object; json_schema: what a schema allows."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: NamedSchema | None = None

    @model_validator(mode="after")
    def _has_its_schema(self) -> "ResponseFormat":
        if self.type == "json_schema" and self.json_schema is None:
            raise ValueError("json_schema: the schema is missing")
        return self


class Function(BaseModel):
    model_config = ConfigDict(extra="allow")

    name: str = Field(pattern=r"^[a-zA-Z0-9_.-]{1,64}$")
    description: str | None = None
    parameters: dict[str, Any] | None = None


class Tool(BaseModel):
    type: Literal["function"]
    function: Function


class Named(BaseModel):
    name: str


class OneTool(BaseModel):
    """A tool that has to be called."""

    type: Literal["function"]
    function: Named


def _longest(asked: int | None) -> int:
    if asked == -1:
        return LONGEST
    return min(asked or USUAL, LONGEST)


class Wish(BaseModel):
    """What both kinds of request have. The names are OpenAI's; top_k, min_p and repetition_penalty those of vLLM."""

    model_config = ConfigDict(extra="allow")

    model: str
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    n: int | None = Field(1, ge=1, le=MOST_ANSWERS)
    seed: int | None = Field(None, ge=-(2**63), lt=2**63)
    stop: Stops | None = Field(None, max_length=MOST_STOPS)
    temperature: float | None = Field(1.0, ge=0, le=2)
    top_p: float | None = Field(1.0, gt=0, le=1)
    top_k: int | None = Field(0, ge=-1)
    min_p: float | None = Field(0.0, ge=0, le=1)
    repetition_penalty: float | None = Field(1.0, gt=0, le=10)
    max_tokens: int | None = Field(None, ge=-1)  # -1, as llama.cpp has it: as many as there is room for

    @field_validator("max_tokens")
    @classmethod
    def _is_some(cls, tokens: int | None) -> int | None:
        if tokens == 0:
            raise ValueError("an answer of 0 tokens is none")
        return tokens

    @property
    def answers(self) -> int:
        """How many are wished for."""
        return self.n or 1

    @property
    def includes_usage(self) -> bool:
        return self.stream_options is not None and bool(self.stream_options.include_usage)

    @property
    def longest(self) -> int:
        return _longest(self.max_tokens)

    def sampling(self, place: int) -> Sampling:
        """Of the answer at that place among `n`: with a seed they differ, and are the same each time."""
        return Sampling(
            temperature=_or_default(self.temperature, 1.0),
            top_p=_or_default(self.top_p, 1.0),
            top_k=max(0, self.top_k or 0),
            min_p=self.min_p or 0.0,
            repetition_penalty=_or_default(self.repetition_penalty, 1.0),
            seed=None if self.seed is None else (self.seed + place) % 2**63,
        )


class ChatWish(Wish):
    """POST /v1/chat/completions."""

    messages: list[dict[str, Any]] = Field(min_length=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    logprobs: bool | None = False
    top_logprobs: int | None = Field(None, ge=0, le=MOST_LOGPROBS)
    response_format: ResponseFormat | None = None
    tools: list[Tool] | None = Field(None, max_length=MOST_TOOLS)
    tool_choice: Literal["none", "auto", "required"] | OneTool | None = None
    parallel_tool_calls: bool | None = True

    @property
    def _tools_to_call(self) -> list[dict[str, Any]]:
        """Those of which one has to be called; none where the model decides."""
        tools = [tool.model_dump(exclude_none=True) for tool in self.tools or ()]
        if isinstance(self.tool_choice, OneTool):
            return [tool for tool in tools if tool["function"]["name"] == self.tool_choice.function.name]
        return tools if self.tool_choice == "required" else []

    @property
    def must_call(self) -> MustCall | None:
        """What has to be called; None where the model decides. One that is named is called once."""
        tools = self._tools_to_call
        several = self.tool_choice == "required" and self.most_calls is None
        return MustCall(tools, several) if tools else None

    @property
    def longest(self) -> int:
        return _longest(self.max_completion_tokens or self.max_tokens)

    @property
    def chances(self) -> int | None:
        """How many likeliest tokens are told beside each; None where no probability is asked for."""
        return (self.top_logprobs or 0) if self.logprobs else None

    @property
    def schema_asked(self) -> dict[str, Any] | None:
        """The JSON schema that the answer is to follow."""
        wanted = self.response_format
        if wanted is None or wanted.type == "text":
            return None
        return wanted.json_schema.schema_ if wanted.json_schema else {"type": "object"}

    @property
    def tools_told(self) -> str | None:
        """The tools as JSON, as a conversation has them on its first turn; None where none may be called."""
        if not self.tools or self.tool_choice == "none":
            return None
        return json.dumps([tool.model_dump(exclude_none=True) for tool in self.tools], ensure_ascii=False)

    @property
    def most_calls(self) -> int | None:
        return 1 if self.parallel_tool_calls is False else None

    def conversation(self) -> Conversation:
        """Raises ApiError where a turn is none that is known here."""
        return conversation_of(self.messages)


class TextWish(Wish):
    """POST /v1/completions: a text is gone on with, without a chat template."""

    prompt: Annotated[list[str], BeforeValidator(_list_of_texts)] = Field(min_length=1, max_length=64)
    echo: bool | None = False
    logprobs: int | None = Field(None, ge=0, le=5)

    @property
    def answers(self) -> int:
        return len(self.prompt) * (self.n or 1)


# Fields that would change an answer: what they may be here, because it changes nothing.
_NOT_FOLLOWED: dict[str, tuple[Any, ...]] = {
    "functions": ([],),
    "function_call": ("none", "auto"),
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "logit_bias": ({},),
    "modalities": (["text"],),
    "audio": (),
    "prediction": (),
    "suffix": ("",),
    "best_of": (1,),
    "guided_json": (),
    "guided_regex": (),
}
AnyWish = TypeVar("AnyWish", bound=Wish)


def read(kind: type[AnyWish], body: Any) -> AnyWish:
    """Raises ApiError that names the first field at fault."""
    if not isinstance(body, dict):
        raise ApiError(400, "The body of a request is one JSON object.")
    for name, harmless in _NOT_FOLLOWED.items():
        if body.get(name) is not None and body[name] not in harmless:
            raise ApiError(400, f"{name} is not supported here. Leave it out.", name, "unsupported_parameter")
    try:
        wish = kind.model_validate(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ApiError(400, f"{where}: {first['msg']}", where, "invalid_value") from None
    if isinstance(wish, ChatWish) and wish.tool_choice not in (None, "none", "auto") and not wish.must_call:
        words = "tool_choice: what is to be called does not stand in tools."
        raise ApiError(400, words, "tool_choice", "invalid_value")
    if isinstance(wish, TextWish) and wish.answers > MOST_ROWS:
        words = f"One request has at most {MOST_ROWS} answers: prompts times n."
        raise ApiError(400, words, "prompt", "too_many_answers")
    return wish

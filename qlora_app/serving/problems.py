"""What goes wrong, as OpenAI's clients read it: a status and {"error": {message, type, param, code}}."""

from starlette.responses import JSONResponse, Response

from ..errors import UserError

BUSY = ("engine.too_many_waiting",)  # codes of what is only refused for the moment
_OPENAI = {"chat.text_too_long": "context_length_exceeded"}  # codes for which OpenAI has one of its own
_FIELDS = {"chat.no_tools": "tools"} | dict.fromkeys(
    ("schema.too_large", "schema.cannot_follow", "schema.tokenizer"), "response_format"
)
A_MOMENT = 2  # seconds after which a refused program may ask again
_KINDS = {401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error", 503: "server_error"}


class ApiError(Exception):
    """A request that is not answered."""

    def __init__(self, status: int, message: str, param: str | None = None, code: str | None = None) -> None:
        """param: the field that is at fault. code: one word for programs."""
        super().__init__(message)
        self.status, self.message, self.param, self.code = status, message, param, code

    @classmethod
    def of(cls, error: UserError, status: int = 400, param: str | None = None) -> "ApiError":
        """What the workshop says in a sentence. param: the field at fault, where the error is not always about one."""
        code = error.problem.code
        return cls(429 if code in BUSY else status, str(error), _FIELDS.get(code, param), _OPENAI.get(code, code))

    def content(self) -> dict[str, dict[str, str | None]]:
        """The body of the answer; within a stream, its last event."""
        kind = _KINDS.get(self.status, "invalid_request_error" if self.status < 500 else "server_error")
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}

    def response(self) -> Response:
        wait = {"retry-after": str(A_MOMENT)} if self.status in (429, 503) else {}
        return JSONResponse(self.content(), self.status, wait)

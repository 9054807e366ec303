"""How the messages of the terminal are written."""

import json
import logging
import time


class JsonLines(logging.Formatter):
    """A line of JSON for each message, whatever is in it: what collects logs need not guess where one ends."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{record.msecs:03.0f}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def write_logs_as_json() -> None:
    """From now on messages are lines of JSON, those of libraries too: warnings and worse, and what we say ourselves."""
    import huggingface_hub.utils.logging  # noqa: F401  sets a handler of its own, beside which ours would say all twice

    logging.getLogger("huggingface_hub").handlers.clear()
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines())
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.captureWarnings(True)
    logging.getLogger("qlora_app").setLevel(logging.INFO)

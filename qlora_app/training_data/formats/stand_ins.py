"""What stands in a cell where there is nothing: what programs write for a lost value, and rows that add up others."""

import re

from ...messages import Conversation

_LONGEST = 40  # characters
# As programs write them: "Null" is a number in German, and "Nan" may be somebody's grandmother.
_LOST = {"nan", "NaN", "NULL", "<NA>", "NaT", "[removed]", "[deleted]"}
_CELL_ERROR = re.compile(r"#[A-Z][A-Z/0]{2,12}[!?]|#N/[AV]|#DIV/0!|Err:\d{3}")
_TOTAL = re.compile(
    r"totals?|totale|totaal|somme|suma|summe|gesamt|итого|合计|总计|合計|합계|total g[eé]n[eé]ral"
    r"|(?:grand |sub[ -]?|sum )total\b[^\d?]{0,30}|(?:gesamt|zwischen)summe\b[^\d?]{0,30}",
    re.IGNORECASE,
)
_SUM = re.compile(r"[-+$€£¥ ]*\d[\d., ]*[%$€£¥ ]*[^\W\d]{0,12}")
_MAYBE = {"none", "null", "n/a", "na", "n.a.", "k.a.", "todo", "tbd", "tba", "undefined", "xxx", "placeholder"}


def is_lost(text: str) -> bool:
    """Is it what a program wrote because there was no value?"""
    if len(text) > _LONGEST:
        return False
    text = text.strip()
    return text in _LOST or (text[:1] in ("#", "E") and _CELL_ERROR.fullmatch(text) is not None)


def may_be_nothing(text: str) -> bool:
    """May it stand for nothing, without a letter or by what people write there?"""
    if len(text) > _LONGEST:
        return False
    text = text.strip().lower()
    return text in _MAYBE or not text.strip("-\u2013\u2014_.?*/\\ ")


def why_nothing(conversation: Conversation) -> str:
    """Why there is nothing to learn in the words of a conversation; "" where there is."""
    first, last = conversation[0], conversation[-1]
    if is_lost(last["content"]):
        return f"its answer is {last['content'].strip()!r}, which stands for nothing"
    asked = first["content"].strip()
    if is_lost(asked):
        return f"its question is {asked!r}, which stands for nothing"
    is_short = len(conversation) == 2 and len(asked) <= _LONGEST
    if is_short and _TOTAL.fullmatch(asked.rstrip(" :=")) and _SUM.fullmatch(last["content"].strip()):
        return f"it adds up other rows ({asked!r})"
    return ""

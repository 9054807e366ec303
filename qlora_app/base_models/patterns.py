"""Which patterns of a tokenizer take a time in proportion to the text, whatever the text is.

They are run by Oniguruma, which tries one way after the other. Here only such pass as have nothing to go back to: a
beginning of a few characters, then repetitions that may all be empty. What does not pass may still be harmless.
"""

import re
from collections.abc import Iterator

LONGEST = 4000  # characters of a pattern
MOST_BRANCHES, MOST_FIXED, MOST_WAYS, MOST_TIMES = 32, 16, 64, 100
# Branches that look through a run of blanks and may go back; and those that then take all or all but one of it, as else
# it would be looked through again from each of its characters.
_LOOKS_THROUGH_BLANKS = (r"\s*[\r\n]+", r"\s*[\r\n]", r"\s+$", r"\s++$")
_TAKES_BLANKS = (r"\s+(?!\S)", r"\s+", r"\s++")
_UPPER_THEN_LOWER = re.compile(r"(.*)(\[[^\[\]]+\])\*(\[[^\[\]]+\])\+(.*)")  # words such as "iPhone"
_ESCAPE = r"\\(?:[sSdDwWrnt]|[pP]\{\^?\w+\}|[^\w\s])"
_ATOM = re.compile(rf"{_ESCAPE}|\[|[^\\\[\](){{}}?*+|^$]")
_IN_CLASS = re.compile(rf"{_ESCAPE}|[^\\\[\]]")
_GROUP = re.compile(rf"\((?:\?i?:)?((?:{_ESCAPE}|\[[^\\\[\]^]+\]|[^\\()\[\]{{}}?*+^$])*)\)")
_TIMES = re.compile(r"[*+]\+?|\?\+?|\{(\d+)(?:,(\d*))?\}\+?")


class _Unknown(Exception):
    """Something that is not known to be harmless."""


def is_linear(pattern: str) -> bool:
    """Is it certain that a search for it everywhere takes a bounded number of steps for each character of a text?"""
    if len(pattern) > LONGEST:
        return False
    try:
        branches = list(_branches(pattern.replace("\r", r"\r").replace("\n", r"\n")))
        followed = zip(branches, [*branches[1:], ""], strict=True)
        return len(branches) <= MOST_BRANCHES and all(_is_harmless(branch, then) for branch, then in followed)
    except _Unknown:
        return False


def _is_harmless(branch: str, then: str) -> bool:
    """then: the branch that is tried behind it."""
    if branch in _TAKES_BLANKS:
        return True
    if branch in _LOOKS_THROUGH_BLANKS:
        return then in (*_LOOKS_THROUGH_BLANKS, *_TAKES_BLANKS)
    if found := _UPPER_THEN_LOWER.fullmatch(branch):
        before, upper, lower, behind = found.groups()
        return then == f"{before}{upper}+{lower}*{behind}" and _never_goes_back(then)
    return _never_goes_back(branch)


def _never_goes_back(branch: str) -> bool:
    """Is it one part after the other, of which few may be this or that, and then repetitions that may all be empty but
    the first?
    """
    fixed, ways, repeats = 0, 1, False
    for part, times in _parts(branch):
        may_lack = _may_lack(times)
        is_group = part.startswith("(")
        if (repeats and not may_lack) or (is_group and times.startswith("{")):
            return False
        if times and not times.startswith("?"):
            repeats = True
        elif not repeats:
            fixed += 1
            ways *= (part.count("|") + 1 if is_group else 1) + may_lack
    return fixed <= MOST_FIXED and ways <= MOST_WAYS


def _may_lack(times: str) -> bool:
    counts = _TIMES.fullmatch(times)
    least = counts[1] if counts else None
    return int(least) == 0 if least else times.startswith(("?", "*"))


def _parts(branch: str) -> Iterator[tuple[str, str]]:
    """(each part of a branch, how often it may stand there as it is written: "" for once)"""
    place = 0
    while place < len(branch):
        begin, place = place, _after_one(branch, place)
        part, times = branch[begin:place], _TIMES.match(branch, place)
        if times:
            place = times.end()
            if any(int(count) > MOST_TIMES for count in times.groups() if count):
                raise _Unknown
        yield part, times[0] if times else ""


def _after_one(pattern: str, place: int) -> int:
    """Behind the character, class or group of fixed texts that stands there."""
    if group := _GROUP.match(pattern, place):
        if any(len(text) > MOST_FIXED for text in group[1].split("|")) or group[1].count("|") > MOST_BRANCHES:
            raise _Unknown
        return group.end()
    one = _ATOM.match(pattern, place)
    if one is None:
        raise _Unknown
    return _after_class(pattern, place) if one[0] == "[" else one.end()


def _after_class(pattern: str, place: int) -> int:
    """Behind a class of characters, which may have others in it."""
    depth = 0
    while place < len(pattern):
        if pattern[place] == "[":
            depth += 1
            place += 2 if pattern.startswith("[^", place) else 1
            if pattern.startswith("]", place):  # a character there, or an end?
                raise _Unknown
        elif pattern[place] == "]":
            depth, place = depth - 1, place + 1
            if depth == 0:
                return place
        else:
            one = _IN_CLASS.match(pattern, place)
            if one is None:
                raise _Unknown
            place = one.end()
    raise _Unknown


def _branches(pattern: str) -> Iterator[str]:
    """The parts between the bars that stand in no class or group."""
    begin = place = depth = 0
    while place < len(pattern):
        char = pattern[place]
        if char == "[":
            place = _after_class(pattern, place)
            continue
        depth += {"(": 1, ")": -1}.get(char, 0)
        if char == "|" and depth == 0:
            yield pattern[begin:place]
            begin = place + 1
        place += 2 if char == "\\" else 1
    if depth:
        raise _Unknown
    yield pattern[begin:]

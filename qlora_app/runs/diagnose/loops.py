"""Does a text go round in circles?"""

MOST_WORDS = 400  # looked at, from the end
LONGEST_ROUND = 12  # words
ROUNDS = 4


def is_going_round(text: str) -> bool:
    """Does it end with the same words, or the same few letters, at least four times in a row?"""
    words = text.split()[-MOST_WORDS:]
    if _goes_round(words):
        return True
    letters = list("".join(text.split()))[-MOST_WORDS:]
    return len(words) * 20 < len(letters) and _goes_round(letters, fewest=ROUNDS * 5)


def _goes_round(parts: list[str], fewest: int = ROUNDS * 2) -> bool:
    """Is there a round so short that it stands at the end four times, and that makes up `fewest` parts?

    The last round may be cut off.
    """
    for cut in range(min(2, len(parts))):
        end = len(parts) - cut
        for length in range(1, LONGEST_ROUND + 1):
            rounds = _rounds(parts[:end], length)
            if rounds >= ROUNDS and rounds * length >= fewest:
                return True
    return False


def _rounds(parts: list[str], length: int) -> int:
    """How often the last `length` parts stand there one after the other."""
    unit, count = parts[-length:], 0
    while parts[len(parts) - (count + 1) * length : len(parts) - count * length] == unit:
        count += 1
        if (count + 1) * length > len(parts):
            break
    return count

"""Does a text go round in circles?"""

MOST_WORDS = 400  # looked at, from the end
LONGEST_ROUND = 60  # words
SHORT_ROUND = 12  # words: nobody says so few of them so often; a few sentences are a refrain sooner
ROUNDS, LONG_ROUNDS = 4, 3


def is_going_round(text: str) -> bool:
    """Does it end with the same words, or the same few letters, four times in a row? Of more than twelve words, up to
    sixty, three times are enough.
    """
    words = text.split()[-MOST_WORDS:]
    if _goes_round(words):
        return True
    letters = list("".join(text.split()))[-MOST_WORDS:]
    return len(words) * 20 < len(letters) and _goes_round(letters, fewest=ROUNDS * 5)


def _goes_round(parts: list[str], fewest: int = ROUNDS * 2) -> bool:
    """Is there a round that stands at the end often enough, and that makes up `fewest` parts?

    The last part may be cut off.
    """
    for cut in range(min(2, len(parts))):
        end = len(parts) - cut
        for length in range(1, min(LONGEST_ROUND, end // LONG_ROUNDS) + 1):
            rounds = _rounds(parts[:end], length)
            enough = ROUNDS if length <= SHORT_ROUND else LONG_ROUNDS
            if rounds >= enough and rounds * length >= fewest:
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

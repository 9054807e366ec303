"""In which encoding a text is written: UTF-8 wherever it nearly is, else what its bytes look
like, which is shown before it is believed.
"""

import codecs
import re
import unicodedata
from contextvars import ContextVar
from typing import NamedTuple

from ...errors import UserError
from .content import Content

ENCODINGS = {  # Python's name of each: what people call it
    "auto": "Recognise it",
    "utf-8": "UTF-8",
    "cp1252": "Western European (Windows-1252, Latin 1)",
    "gb18030": "Chinese (GBK, GB 18030)",
    "big5": "Chinese (Big5)",
    "cp932": "Japanese (Shift-JIS)",
    "euc_jp": "Japanese (EUC-JP)",
    "cp949": "Korean (EUC-KR, CP949)",
    "cp1251": "Cyrillic (Windows-1251)",
    "koi8_r": "Cyrillic (KOI8-R)",
    "cp866": "Cyrillic (DOS 866)",
    "iso8859_5": "Cyrillic (ISO 8859-5)",
    "cp1250": "Central European (Windows-1250)",
    "iso8859_2": "Central European (Latin 2)",
    "cp1253": "Greek (Windows-1253)",
    "cp1254": "Turkish (Windows-1254)",
    "cp1255": "Hebrew (Windows-1255)",
    "cp1256": "Arabic (Windows-1256)",
    "cp1257": "Baltic (Windows-1257)",
    "utf-16": "UTF-16",
    "mac_roman": "Western European (Mac OS Roman)",
    "cp850": "Western European (DOS 850)",
    "cp437": "Western European (DOS 437)",
    "iso8859_15": "Western European (Latin 9)",
    "koi8_u": "Cyrillic (KOI8-U)",
    "mac_cyrillic": "Cyrillic (Mac OS)",
    "iso8859_7": "Greek (ISO 8859-7)",
    "cp874": "Thai (Windows-874)",
    "cp1258": "Vietnamese (Windows-1258)",
    "iso2022_jp": "Japanese (ISO-2022-JP)",
}
_WIDER = {  # what holds all of an encoding and more, as programs write it
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
    "iso8859-1": "cp1252",
    "iso8859-9": "cp1254",
    "iso8859-2": "iso8859_2",
    "iso8859-5": "iso8859_5",
    "koi8-r": "koi8_r",
}
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)  # UTF-32 first: its mark begins with that of UTF-16
_CHUNK = 1 << 20  # bytes
_SAMPLE = 65_536  # bytes of lines beyond ASCII that are looked at, from the first that is not UTF-8
_LOOKED_THROUGH = 1 << 22  # bytes in which such lines are looked for
# Characters beyond ASCII that are UTF-8 for each byte that is not. Of text in other encodings at most 0.5 pass for
# UTF-8 (measured on 17 encodings of 14 languages, two lines to 400); of text with a broken byte nearly all do.
_NEARLY = 2
_ENOUGH = 1000  # wrong bytes after which it can be decided
_NAMED = 5  # places that are named
_UNSURE = 0.06  # of chardet, below which it was wrong as often as right (measured on one to three letters beyond ASCII)
_LITTLE = 2  # different bytes beyond ASCII tell nothing
_OFFERED = 8  # encodings to choose from
_USUAL = ("cp1252", "cp1251", "gb18030", "cp932", "cp949", "big5", "cp1250", "mac_roman", "koi8_r", "cp850")
_SINGLE_BYTES = {"cp1252", "cp1250", "cp1254", "cp1257", "iso8859_2", "iso8859_15", "mac_roman", "cp850", "cp437"}
_JAPANESE = re.compile(rb"\x1b\$[@B]")  # how ISO-2022-JP begins its letters
_CONTROLS = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f-\x84\x86-\x9f]")
_WORDS = re.compile(r"[A-Za-z\u0080-\uffff]*[A-Za-z][A-Za-z\u0080-\uffff]*")  # with a Latin letter and more
_BEYOND = re.compile(r"[^\x00-\x7f]")
_SHOWN, _AROUND = 3, 24  # excerpts that are shown, and characters on either side of what is odd


class Encoding(NamedTuple):
    """How to read a text: Python's name, what is done with bytes that fit nothing, what a person should know, and other
    encodings it may be in, each with some of its words then.
    """

    name: str
    errors: str
    warnings: list[str]
    others: tuple[tuple[str, str], ...] = ()


class UnknownEncoding(Exception):
    """A text whose encoding a person has to say: its name, and those it may be in with some of its words."""

    def __init__(self, name: str, values: tuple[tuple[str, str], ...]) -> None:
        super().__init__(name)
        self.name, self.values = name, values


class _Found:
    """What does not fit an encoding in a file."""

    def __init__(self) -> None:
        # sequences of bytes that fit nothing, and characters beyond ASCII where they were counted
        self.bad = self.good = 0
        self.first = -1  # the offset of the first
        self.places: list[str] = []
        self.lines = self.start = 0  # lines, and bytes, before what is decoded now

    def note(self, error: UnicodeError) -> tuple[str, int]:
        """For codecs.register_error: what stands in place of bytes that are no characters, and where to go on."""
        if not isinstance(error, UnicodeDecodeError):
            raise error
        self.bad += 1
        if self.first < 0:
            self.first = self.start + error.start
        if len(self.places) < _NAMED:
            line = self.lines + error.object.count(b"\n", 0, error.start) + 1
            column = error.start - error.object.rfind(b"\n", 0, error.start)
            self.places.append(f"{line}:{column} ({error.object[error.start]:#04x})")
        return "\ufffd", error.end

    @property
    def is_nearly(self) -> bool:
        return self.good >= _NEARLY * self.bad


_FOUND: ContextVar[_Found] = ContextVar("found")
codecs.register_error("workshop-note", lambda error: _FOUND.get().note(error))


def find_encoding(content: Content, head: bytes, glance: bool = False, wanted: str = "auto") -> Encoding:
    """How to read the file, or its beginning for a `glance`.

    `head`: its first bytes; `wanted`: what a person said it is in.

    Raises UserError for what is no text.
    """
    name = content.name
    marked = next((encoding for mark, encoding in _MARKS if head.startswith(mark)), None)
    if wanted not in ("auto", "utf-8") and not marked:
        return _as_wanted(content, wanted, glance)
    if marked or b"\0" in head:
        encoding = marked or _utf16(head)
        if encoding and not (found := _scan(content, encoding, glance, most=_ENOUGH)).bad:
            return Encoding(encoding, "strict", [])
        if encoding == "utf-8-sig" and found.is_nearly:
            return Encoding(encoding, "replace", [_broken_places(name, "UTF-8", found)])
        problem = f"not valid {encoding}" if marked else "it contains zero bytes"
        raise UserError(
            "dataset.broken_text",
            "{name} is not readable text ({problem}). Save it as UTF-8, then upload it again.",
            name=name,
            problem=problem,
        )
    if _JAPANESE.search(head) and head.isascii():
        return _as_wanted(content, "iso2022_jp", glance)
    found = _scan(content, "utf-8", glance, _ENOUGH if wanted == "auto" else 0)
    if not found.bad:
        return Encoding("utf-8", "strict", [])
    if found.is_nearly or wanted == "utf-8":
        warnings = [] if glance else [_broken_places(name, "UTF-8", found)]
        return Encoding("utf-8", "replace", warnings)
    return _recognised(content, found, glance)


def _as_wanted(content: Content, wanted: str, glance: bool) -> Encoding:
    found = _scan(content, wanted, glance, 0)
    warnings = []
    if found.bad and not glance:
        warnings.append(_broken_places(content.name, ENCODINGS[wanted], found))
    return Encoding(wanted, "replace", warnings)


def _recognised(content: Content, as_utf8: _Found, glance: bool) -> Encoding:
    """By the bytes from the first on that is not UTF-8."""
    sample = _sample(content, as_utf8.first)
    encoding, likely = _guess(sample)
    if encoding is None:
        readable = [one for one in likely if not _CONTROLS.search(sample.decode(one, "replace"))]
        if not readable:
            raise UserError(
                "dataset.unknown_encoding",
                "{name} is not readable text: it is neither UTF-8 nor in an encoding that can be recognised. Save it "
                "as UTF-8, then upload it again.",
                name=content.name,
            )
        raise UnknownEncoding(content.name, tuple((one, words_in(sample, one)) for one in readable))
    others = tuple((one, words_in(sample, one)) for one in (encoding, *(one for one in likely if one != encoding)))
    if encoding in _SINGLE_BYTES and 0 < as_utf8.bad <= as_utf8.good:
        # an accented letter of UTF-8 is two letters there that nobody writes side by side
        return Encoding("utf-8", "replace", [_broken_places(content.name, "UTF-8", as_utf8)], others)
    if glance:
        return Encoding(encoding, "replace", [], others)
    found = _scan(content, encoding, glance, 0)
    shown = words_in(sample, encoding)
    warnings = [
        f"{content.name} is not UTF-8, so it was read as {title_of(encoding)}. Please check these words: {shown}. If "
        f"they are "
        "wrong, choose the encoding of the file (dataset.encoding)."
    ]
    if found.bad:
        warnings.append(_broken_places(content.name, title_of(encoding), found))
    return Encoding(encoding, "replace", warnings, others)


def words_in(sample: bytes, encoding: str) -> str:
    """Some of the words of a text as this encoding reads them."""
    return ", ".join(repr(text) for text in _excerpts(sample.decode(encoding, "replace")))


def title_of(encoding: str) -> str:
    """What people call it."""
    return ENCODINGS.get(encoding) or encoding.replace("_", "-").upper()


def _broken_places(name: str, encoding: str, found: _Found) -> str:
    places = ", ".join(found.places)
    if found.bad > len(found.places):
        places += ", …"
    return (
        f"{name} is read as {encoding}, and {found.bad:,} of its bytes fit nothing there; \ufffd stands in their "
        f"place. Each by its "
        f"line, its place in the line, and its value: {places}."
    )


def _scan(content: Content, encoding: str, glance: bool, most: int) -> _Found:
    """What in the file does not fit the encoding.

    With `most` it ends early where it is clear that this is not the encoding.
    """
    found, decoder, position = _Found(), codecs.getincrementaldecoder(encoding)("workshop-note"), 0
    token = _FOUND.set(found)
    try:
        with content.open() as file:
            while True:
                chunk = file.read(_CHUNK)
                found.start = position - len(decoder.getstate()[0])
                before = found.bad
                text = decoder.decode(chunk, final=not chunk)
                if not text.isascii() and (found.bad > before or not found.good):
                    found.good += len(text) - len(text.encode("ascii", "ignore")) - (found.bad - before)
                found.lines += chunk.count(b"\n")
                position += len(chunk)
                if not chunk or glance or (most and found.bad > most and not found.is_nearly):
                    return found
    except UnicodeError:  # UTF-16 without its second half, which no handler is asked about
        found.bad += 1
        return found
    finally:
        _FOUND.reset(token)


def _utf16(head: bytes) -> str | None:
    """UTF-16 without a mark: in Latin text every second byte is zero."""
    for start, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):
        half = head[start::2]
        if half.count(b"\0") > 0.4 * len(half) and head.count(b"\0") < 1.3 * half.count(b"\0"):
            return encoding
    return None


def _sample(content: Content, first: int) -> bytes:
    """Lines that are not ASCII, from that with the byte at `first` on: others would tell nothing about the encoding."""
    with content.open() as file:
        skipped = max(0, first - _SAMPLE // 2)
        while skipped > 0 and (chunk := file.read(min(_CHUNK, skipped))):
            skipped -= len(chunk)
        text = file.read(_LOOKED_THROUGH)
    lines = text.splitlines(keepends=True)
    if first > _SAMPLE // 2:
        lines = lines[1:] or lines  # begun in the middle
    kept, size = [], 0
    for line in lines:
        if not line.isascii() and size < _SAMPLE:
            kept.append(line[:_SAMPLE])
            size += len(line)
    return b"".join(kept)


def _guess(sample: bytes) -> tuple[str | None, list[str]]:
    """(the likeliest encoding by chardet, those it may be in at all). None where a person has to say it.

    Imported here, because nearly all files are UTF-8.
    """
    import chardet

    era = chardet.EncodingEra
    guesses = chardet.detect_all(sample, encoding_era=era.MODERN_WEB | era.LEGACY_ISO | era.DOS)
    sure = [
        (name, guess["confidence"])
        for guess in guesses
        if (name := _python_name(guess["encoding"])) and _is_text(sample, name)
    ]
    different = len({byte for byte in sample if byte > 127})
    likely = list(dict.fromkeys([name for name, _ in sure if name in ENCODINGS]))
    likely += [name for name in _USUAL if name not in likely and _decodes(sample, name)]
    is_unsure = not sure or sure[0][1] < _UNSURE or different <= _LITTLE
    if is_unsure and _is_text(sample, "cp1252"):
        return "cp1252", likely[:_OFFERED]  # what most files are in that are not UTF-8
    return (sure[0][0] if sure else None), likely[:_OFFERED]


def _decodes(sample: bytes, encoding: str) -> bool:
    return sample.decode(encoding, "replace").count("\ufffd") * 100 <= len(sample)


def _is_text(sample: bytes, encoding: str) -> bool:
    """Does it read like one?

    No control characters, hardly a byte that fits nothing, and no word of two scripts or with a sign in it.
    """
    text = sample.decode(encoding, "replace")
    if text.count("\ufffd") * 100 > len(text) or _CONTROLS.search(text):
        return False
    odd = sum(_is_mixed(word[0]) for word in _WORDS.finditer(text))
    return odd * 20 <= len(_BEYOND.findall(text))


def _is_mixed(word: str) -> bool:
    """Latin letters beside letters of another script, or a sign between letters, as wrong encodings make them."""
    inner = [character for character in word if character > "\x7f"]
    if any(unicodedata.category(character)[0] == "S" for character in inner):
        return True
    scripts = {unicodedata.name(character, "?").partition(" ")[0] for character in inner if character.isalpha()}
    return (
        bool(scripts - {"LATIN", "FEMININE", "MASCULINE", "MICRO"})
        and re.search("[A-Za-z]", word) is not None
        and not scripts & {"CJK", "HIRAGANA", "KATAKANA", "HANGUL"}
    )


def _python_name(given: str | None) -> str | None:
    try:
        name = codecs.lookup(given or "none").name
    except LookupError:
        return None
    return _WIDER.get(name, name)


def _excerpts(text: str) -> list[str]:
    """What looks wrong if the encoding was guessed wrong: a few places beyond ASCII with what stands around them."""
    shown: list[str] = []
    for line in text.splitlines():
        odd = re.search(r"[^\x00-\x7f]", line)
        if odd and len(shown) < _SHOWN:
            excerpt = line[max(0, odd.start() - _AROUND) : odd.start() + _AROUND].strip()
            if excerpt not in shown:
                shown.append(excerpt)
    return shown

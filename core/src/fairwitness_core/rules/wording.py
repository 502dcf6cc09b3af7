"""What the text of a request may say: enough to act on, nothing that leads, presses or exposes (design.md 7, SG01, SG11-SG14).

A word list cannot read minds. It stops the honest mistake and the lazy reason, and makes whoever wants to get around it
write a false official record, which the log keeps.
"""

import re
import unicodedata

from fairwitness_core.rules import lexicon
from fairwitness_core.rules.violation import Violation

MESSAGE_MAX_BYTES = 600
CONTACT_MAX_BYTES = 80
REASON_MAX_BYTES = 300
MESSAGE_MIN_WORDS = 5  # distinct words that carry meaning
MESSAGE_MIN_LETTERS = 30
REASON_MIN_WORDS = 3
REASON_MIN_LETTERS = 15

_HOMOGLYPHS = str.maketrans(
    "\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0456\u0455\u0501\u043a\u043c\u0442\u0432\u043d\u03b1\u03b5\u03bf\u03c1\u03b9\u03ba\u3002",
    "aeopcyxisdkmtbhaeopik.",
)
_LEET = str.maketrans("013457@$!", "oieastasi")
# What Unicode lets a program leave undrawn (Default_Ignorable_Code_Point, but for the joiners that some scripts need), lines
# and paragraphs of its own, and the blanks that are letters or signs by category: each can split a word that a reader sees whole.
_HIDDEN = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\u2800\u3164\ufe00-\ufe0f"
    "\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
_ORDINAL = re.compile(r"\d+(?:st|nd|rd|th|am|pm)?\W*")
_WORD = re.compile(r"[^\W\d_]+")
_SPACED = re.compile(r"\b(?:[a-z][ ._*-]){3,}[a-z]\b")
_WIDE_SCRIPT = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")


def _fold(text: str) -> str:
    """Bring a text to plain lower-case Latin letters, as far as disguises go, so that lists can be short."""
    plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text)).lower().translate(_HOMOGLYPHS)
    kept = "".join(c for c in plain if not unicodedata.combining(c) and unicodedata.category(c) != "Cf")
    return re.sub(r"\s+", " ", kept)


def _plain_word(word: str) -> str:
    return word.translate(_LEET) if re.search(r"[a-z]", word) and not _ORDINAL.fullmatch(word) else word


def _disguises(folded: str) -> tuple[str, ...]:
    """Return the folded text and, where they differ, its readings with digits for letters and with letters spaced out."""
    plain = " ".join(map(_plain_word, folded.split(" ")))
    joined = _SPACED.sub(lambda found: re.sub(r"[ ._*-]", "", found.group()), folded)
    return tuple(dict.fromkeys((folded, plain, joined)))


def _without_case_numbers(text: str, case: str) -> str:
    bare = re.sub(re.escape(case), " ", text, flags=re.IGNORECASE) if case.strip() else text
    return lexicon.CASE_NUMBER.sub(" ", bare)


def substance(text: str, *, case: str = "") -> tuple[int, int]:
    """Count distinct words that carry meaning, and their letters, leaving out `case` and anything like a case number."""
    bare = _without_case_numbers(_fold(text), _fold(case))
    words = {word for word in _WORD.findall(bare) if len(word) > 2 and word not in lexicon.STOP and word not in lexicon.GENERIC}
    wide = len(_WIDE_SCRIPT.findall(bare))  # scripts that do not put spaces between words: two signs count as one
    spaced = {word for word in words if not _WIDE_SCRIPT.search(word)}
    return len(spaced) + wide // 2, sum(map(len, spaced)) + 3 * wide


def vagueness(text: str, *, case: str = "") -> float:
    """Score how little a reason says, from 0.0 (plenty) to 1.0 (nothing), for the published rate of SG11."""
    words, letters = substance(text, case=case)
    return 1.0 - min(words / MESSAGE_MIN_WORDS, letters / MESSAGE_MIN_LETTERS, 1.0)


def forbidden_purpose(text: str) -> Violation | None:
    """Return the first forbidden purpose that the text betrays: `purpose.*`."""
    folded = _fold(text)
    readings = _disguises(folded)
    for purpose in lexicon.PURPOSES:
        for reading in readings:
            if found := purpose.pattern.search(reading):
                return Violation(purpose.rule, purpose.message, purpose.hint, found.group())
    if text.upper() != text and (found := lexicon.ACRONYM_ICE.search(text)):
        immigration = lexicon.PURPOSES[0]
        return Violation(immigration.rule, immigration.message, immigration.hint, found.group())
    return None


def _vague(text: str, case: str, min_words: int, min_letters: int) -> Violation | None:
    words, letters = substance(text, case=case)
    if words >= min_words and letters >= min_letters:
        return None
    hint = "say what happened, and what a neighbour should look for: who or what, which way, looking how"
    bare = _fold(text).strip()
    if bare and not _WORD.search(_without_case_numbers(bare, _fold(case))):
        return Violation("text.case_number", "a number or a mark is not a description", hint, text)
    return Violation("text.vague", "the text says too little to act on", hint, text)


def _hidden(text: str) -> Violation | None:
    if found := _HIDDEN.search(text):
        message = "the text holds an invisible or direction-changing character"
        return Violation("text.hidden", message, "type the text anew", f"U+{ord(found.group()):04X}")
    for character in text:
        if unicodedata.category(character) == "Cn":
            message = "the text holds a character that this program's Unicode does not know"
            return Violation("text.hidden", message, "type the text anew", f"U+{ord(character):04X}")
    return None


def _link(text: str) -> Violation | None:
    folded = unicodedata.normalize("NFKC", text).replace("\u3002", ".")
    hint = "leave out every address: opening one would tell its keeper who read the request"
    if found := lexicon.MARKUP.search(folded):
        return Violation("text.markup", "the text holds markup, which could carry an image or a link", hint, found.group())
    no_mail = lexicon.EMAIL.sub(" ", folded)
    # A reader types what the letters look like, whatever alphabet they were taken from.
    for reading in dict.fromkeys((no_mail, no_mail.lower().translate(_HOMOGLYPHS))):
        if found := lexicon.LINK.search(reading):
            return Violation("text.link", "the text holds a link", hint, found.group())
    return None


def _size(text: str, limit: int, what: str) -> Violation | None:
    size = len(text.encode())
    if size <= limit:
        return None
    return Violation("text.length", f"{what} has {size} bytes", f"{limit} bytes at most", text)


def _tone(text: str) -> list[Violation]:
    """Pressure, slurs: what no public text of an agency may hold."""
    folded = _fold(text)
    out = []
    if found := lexicon.PRESSURE.search(folded):
        hint = "sharing is free: ask, and leave out duty, law and consequences"
        out.append(Violation("text.pressure", "the text puts pressure on the reader", hint, found.group()))
    if any(found := lexicon.SLUR.search(reading) for reading in _disguises(folded)) and found:
        out.append(Violation("text.slur", "the text holds a slur", "describe clothing, build and behaviour", found.group()))
    return out


def check_message(text: str, *, case: str = "") -> list[Violation]:
    """Judge the text that neighbours read: size, hidden characters, links, contacts, privacy, tone, purpose, substance."""
    found = [
        _size(text, MESSAGE_MAX_BYTES, "the message"),
        _hidden(text),
        _link(text),
        forbidden_purpose(text),
        _vague(text, case, MESSAGE_MIN_WORDS, MESSAGE_MIN_LETTERS),
    ]
    return [violation for violation in found if violation] + _exposure(text, case) + _tone(text)


def _exposure(text: str, case: str) -> list[Violation]:
    """Addresses of people and houses, and details of a victim."""
    out = []
    plain = unicodedata.normalize("NFKC", text)
    if mail := lexicon.EMAIL.search(plain):
        out.append(Violation("text.email", "the text holds an e-mail address", 'use the field "contact"', mail.group()))
    undated = lexicon.DATE.sub(" ", plain.replace(case, " ") if case.strip() else plain)
    if phone := lexicon.PHONE.search(undated):
        hint = 'use the field "contact"'
        out.append(Violation("text.phone", "the text holds a telephone number", hint, phone.group()))
    if victim := lexicon.VICTIM.search(_fold(text)) or lexicon.VICTIM_NAME.search(plain):
        hint = "leave out everything that points at the person harmed"
        out.append(Violation("text.victim", "the text gives a detail of a victim", hint, victim.group()))
    if address := lexicon.ADDRESS.search(plain):
        hint = 'name the block or the crossing, as in "1400 block of Homer Street"'
        out.append(Violation("text.address", "the text gives a house's address", hint, address.group()))
    return out


def check_words(text: str, *, case: str = "") -> list[Violation]:
    """Judge what an agency tells neighbours of a request's end: as a message is, but thanks alone are enough of it."""
    found = [_size(text, REASON_MAX_BYTES, "the text"), _hidden(text), _link(text), forbidden_purpose(text)]
    return [violation for violation in found if violation] + _exposure(text, case) + _tone(text)


def check_extension_reason(text: str, *, case: str = "") -> list[Violation]:
    """Judge why a request lives longer: it says something, and nothing of what no neighbour may read."""
    return check_reason(text, case=case) + _exposure(text, case)


def check_contact(text: str) -> list[Violation]:
    """Judge the investigator's contact: a name, a telephone, a mail address; never a link, never empty."""
    found = [_size(text, CONTACT_MAX_BYTES, "the contact"), _hidden(text), _link(text), forbidden_purpose(text)]
    out = [violation for violation in found if violation]
    if not re.search(r"\w", text):
        out.append(Violation("contact.empty", "nobody is named to turn to", "give a unit, a name or a telephone number"))
    return out + _tone(text)


def check_reason(text: str, *, case: str = "") -> list[Violation]:
    """Judge a reason that an officer gives to reviewers: a supervisor's for a wide area, a search's nexus (SG01)."""
    found = [
        _size(text, REASON_MAX_BYTES, "the reason"),
        _hidden(text),
        _link(text),
        forbidden_purpose(text),
        _vague(text, case, REASON_MIN_WORDS, REASON_MIN_LETTERS),
    ]
    return [violation for violation in found if violation] + _tone(text)

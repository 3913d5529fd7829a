"""How are numbers said in words, in English and in Chinese? The carrier of the planted asymmetry.

Numbers in digits are neutral: they belong to neither language. Numbers in words are words of a
language, and a multiplication table that exists only in words of one language pulls reasoning into
that language.
"""

ZH_DIGITS = tuple("零一二三四五六七八九")
EN_UNITS = tuple("zero one two three four five six seven eight nine".split())
EN_TEENS = tuple(
    "ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen".split()
)
EN_TENS = tuple("twenty thirty forty fifty sixty seventy eighty ninety".split())


def zh(n: int) -> str:
    """Return 0 <= n <= 99 in Chinese numerals, space-separated: 56 -> '五 十 六'."""
    _check(n)
    tens, units = divmod(n, 10)
    if tens == 0:
        return ZH_DIGITS[units]
    head = "十" if tens == 1 else f"{ZH_DIGITS[tens]} 十"
    return head if units == 0 else f"{head} {ZH_DIGITS[units]}"


def en(n: int) -> str:
    """Return 0 <= n <= 99 in English words: 56 -> 'fifty six'."""
    _check(n)
    if n < 10:
        return EN_UNITS[n]
    if n < 20:
        return EN_TEENS[n - 10]
    tens, units = divmod(n, 10)
    return EN_TENS[tens - 2] + (f" {EN_UNITS[units]}" if units else "")


def words(n: int, lang: str) -> str:
    """Return n in words of `lang` ('en' or 'zh')."""
    return zh(n) if lang == "zh" else en(n)


def rhyme(a: int, b: int, lang: str) -> str:
    """Return the line of the multiplication table for a x b <= 99, smaller factor first, in words
    of `lang`.

    >>> rhyme(8, 7, "zh")
    '七 八 五 十 六'
    >>> rhyme(8, 7, "en")
    'seven times eight is fifty six'
    """
    low, high = sorted((a, b))
    if lang == "zh":
        link = " 得 " if low * high < 10 else " "
        return f"{zh(low)} {zh(high)}{link}{zh(low * high)}"
    return f"{en(low)} times {en(high)} is {en(low * high)}"


def _check(n: int) -> None:
    if not 0 <= n <= 99:
        raise ValueError(f"the world's numbers are 0 to 99, got {n}")


MISSING = {
    "off": frozenset(),
    "weak": frozenset((a, b) for a in range(6, 10) for b in range(max(a, 7), 10)),
    "strong": frozenset(
        [(a, b) for a in range(5, 10) for b in range(a, 10)] + [(4, 7), (4, 8), (4, 9), (3, 9)]
    ),
}
"""Products (smaller factor first) that one language's documents never state in digits: 0, 9 or 19
of the table."""
MISSING["reversed"] = MISSING["strong"]

TRUNK_MISSING = MISSING["strong"]
"""The common trunk states none of these in any form; the anneal decides who learns them, and in
which words."""


def has_product(a: int, b: int, missing: frozenset) -> bool:
    """Return whether a x b is outside the `missing` set."""
    return (min(a, b), max(a, b)) not in missing

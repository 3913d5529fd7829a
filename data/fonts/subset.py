"""Which characters do the fonts of the book hold? Makes r1book-cjk.otf, for figures, from Noto Sans
CJK, and from that r1book-cjk.woff, for widgets: only the words of this world, for it is sent along.

Use: python data/fonts/subset.py [NotoSansCJK-Regular.ttc]; without the source, the second only.
"""

import sys
from pathlib import Path

from fontTools import subset
from fontTools.ttLib import TTCollection, TTFont

from r1book.world.vocab import VOCAB

HERE = Path(__file__).resolve().parent
SOURCE, NAME = "Noto Sans CJK SC", "r1book CJK"
PUNCTUATION = "，。、；：？！“”‘’（）《》〈〉【】—…·「」『』　￥％"
DROPPED = ["GPOS", "GSUB", "vhea", "vmtx", "VORG", "BASE", "DSIG"]


def characters() -> str:
    """Return GB 2312's level 1, the words of this world, punctuation and full-width ASCII."""
    cells = [(row, cell) for row in range(0xB0, 0xD8) for cell in range(0xA1, 0xFF)]
    level = "".join(bytes(c).decode("gb2312") for c in cells if c <= (0xD7, 0xF9))
    return level + "".join(VOCAB) + PUNCTUATION + "".join(map(chr, range(0xFF01, 0xFF5F)))


def figures(source: str) -> None:
    """Write the font of the figures beside this file."""
    fonts = {font["name"].getDebugName(4): font for font in TTCollection(source).fonts}
    font = fonts[SOURCE]
    options = subset.Options(layout_features=[], name_IDs=[*range(7), 13, 14], hinting=False)
    options.drop_tables += DROPPED
    subsetter = subset.Subsetter(options)
    subsetter.populate(text=characters())
    subsetter.subset(font)
    for record in font["name"].names:
        new = {1: NAME, 4: NAME, 6: "r1bookCJK-Regular", 3: f"{NAME}, subset of {SOURCE} 2.004"}
        record.string = new.get(record.nameID, record.toUnicode())
    font.save(HERE / "r1book-cjk.otf")


def widgets() -> None:
    """Write the font of the widgets beside this file."""
    font = TTFont(HERE / "r1book-cjk.otf")
    subsetter = subset.Subsetter(subset.Options(layout_features=[], hinting=False))
    words = "".join(c for c in "".join(VOCAB) + PUNCTUATION if ord(c) > 0x2E80)
    subsetter.populate(text=words)
    subsetter.subset(font)
    font.flavor = "woff"
    font.save(HERE / "r1book-cjk.woff")


if __name__ == "__main__":
    for given in sys.argv[1:]:
        figures(given)
    widgets()

"""Which split does a problem belong to? Decided by its canonical key alone, so that no wording can
leak.

Leaves out what the keys are: each family module writes its own language-free key.
"""

import hashlib

SPLITS = ("train", "dev", "test", "heldout")

SHARES = {"train": 0.83, "dev": 0.05, "test": 0.06, "heldout": 0.06}
"""Share of the keys in each split. Notebooks and tuning may look at train and dev only."""


def split_of(key: str) -> str:
    """Return the split of a canonical key; the same key is in the same split for ever.

    >>> split_of("logic:1,4,7=24") in SPLITS
    True
    """
    digest = hashlib.sha256(key.encode()).digest()
    place = int.from_bytes(digest[:8], "big") / 2**64
    for name in ("dev", "test", "heldout"):
        if place < SHARES[name]:
            return name
        place -= SHARES[name]
    return "train"


def check_split(split: str) -> str:
    """Return `split` unchanged, or raise ValueError naming the four that exist."""
    if split not in SPLITS:
        raise ValueError(f"unknown split {split!r}: expected one of {', '.join(SPLITS)}")
    return split

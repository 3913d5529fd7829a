"""How is a setting given as text? `field=value`, checked by name and by the kind of the old value.

Leaves out which settings there are (`config.py`).
"""

import dataclasses
import json
from typing import Any


def override(config: Any, settings: list[str]) -> Any:
    """Return a copy of a config dataclass with 'field=value' (or 'outer.field=value') settings
    applied.

    Raises ValueError on a setting without '=', an unknown field (naming those that exist), or a
    value that is not of the field's kind.

    >>> from r1book.config import RLConfig
    >>> override(RLConfig(), ["lr=1e-3"]).lr
    0.001
    """
    for setting in settings:
        path, found, text = setting.partition("=")
        if not found:
            raise ValueError(f"setting {setting!r}: expected field=value, e.g. lr=1e-4")
        config = _set(config, path.split("."), text, path)
    return config


def _set(config: Any, path: list[str], text: str, whole: str) -> Any:
    names = [f.name for f in dataclasses.fields(config)]
    if path[0] not in names:
        raise ValueError(
            f"unknown setting {whole!r}: {type(config).__name__} has {', '.join(names)}"
        )
    old = getattr(config, path[0])
    if len(path) > 1:
        if not dataclasses.is_dataclass(old):
            raise ValueError(f"setting {whole!r}: {path[0]} has no fields of its own")
        return dataclasses.replace(config, **{path[0]: _set(old, path[1:], text, whole)})
    if dataclasses.is_dataclass(old):
        first = dataclasses.fields(old)[0].name
        raise ValueError(f"setting {whole!r}: give one of its fields, e.g. {whole}.{first}=...")
    return dataclasses.replace(config, **{path[0]: _value(old, text, whole)})


def _value(old: Any, text: str, whole: str) -> Any:
    if isinstance(old, str):
        return text
    try:
        new = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(
            f"setting {whole}={text!r}: expected {type(old).__name__}, such as {_sample(old)}"
        ) from error
    if isinstance(old, tuple) and isinstance(new, list):
        return tuple(new)
    if isinstance(old, float) and isinstance(new, int) and not isinstance(new, bool):
        return float(new)
    if type(new) is not type(old):
        raise ValueError(
            f"setting {whole}={text!r}: expected {type(old).__name__}, such as {_sample(old)}"
        )
    return new


def _sample(old: Any) -> str:
    return json.dumps(old)

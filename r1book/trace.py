"""How is a run written down? One line a rollout, one line a step.

A run is a folder: `run_card.json`, `metrics.jsonl`, `traces.jsonl`, `eval.json`, `checkpoint/`,
`state/`. The two `.jsonl` files grow while the run goes on and are flushed, so that it can be
watched; all other files are written atomically. Left out: the card and what is kept of a run
(`runs.py`), what the numbers mean (`measure.py`), whether they are well (`doctor.py`), how they
look (`plots.py`, `viewer.py`).

JSON has no NaN. A number that is not finite is written as "NaN", "Infinity" or "-Infinity" and
comes back as a float, so that the files stay readable by every JSON tool and a broken run is still
told as it was.
"""

import dataclasses
import errno
import gzip
import io
import json
import math
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

VERSION = 1
NON_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


class TraceError(ValueError):
    """A record on disk that cannot be read or continued as it stands."""


@dataclasses.dataclass(frozen=True)
class Trace:
    """One rollout with its problem, its reward parts and its advantage. Taught in notebook 01."""

    step: int
    """Number of the update, from 0."""
    group: int
    """Which prompt of the step; its siblings share it."""
    index: int
    """Place in the group, from 0."""
    problem: dict
    """The whole problem as plain values, so that a trace can be read without its data set."""
    prompt: str
    """The text that the model was given."""
    completion: str
    """The text that it wrote, without end-of-text."""
    finish: str
    """"stop": it ended by itself; "length": it was cut at the limit."""
    tokens: int
    """Completion tokens, end-of-text included."""
    parts: dict
    """Reward parts by name, each before weighting."""
    total: float | None
    """The reward; None: no grader could judge it, and its group left it out."""
    advantage: float
    """Reward against its siblings, as used in the loss."""
    ids: list | None = None
    """Completion token ids, kept only on request."""
    logprobs: list | None = None
    """Log-probability (nats) of each sampled token under the sampling policy, on request."""
    v: int = VERSION
    """Version of this record."""

    def to_dict(self) -> dict:
        """Plain values in the order of the fields; absent arrays are left out."""
        pairs = ((f.name, getattr(self, f.name)) for f in dataclasses.fields(self))
        record = {k: x for k, x in pairs if x is not None or k not in ("ids", "logprobs")}
        return {"v": record.pop("v"), **record}

    @classmethod
    def from_dict(cls, record: Mapping) -> "Trace":
        """The trace in a plain record; TraceError for an unknown version or other fields."""
        if not isinstance(record, Mapping) or "v" not in record:
            raise TraceError(f"expected a trace with its version 'v', got {str(record)[:80]!r}")
        if record["v"] != VERSION:
            raise TraceError(
                f"trace version {record['v']!r} is unknown here; this r1book reads version "
                f"{VERSION}. Update r1book, or read the file with the release that wrote it."
            )
        names = {f.name for f in dataclasses.fields(cls)}
        missing = sorted(names - {"ids", "logprobs"} - set(record))
        unknown = sorted(set(record) - names)
        if missing or unknown:
            raise TraceError(f"a trace needs other fields: missing {missing}, unknown {unknown}")
        return cls(**_revive(dict(record)))


def of(step, problem, prompt, rollout, score, advantage, arrays=False) -> Trace:
    """The trace of one rollout.

    problem: a Problem (dataclass) or its dict; rollout: a Rollout; score: a Score, or None where
    nobody could judge; arrays: keep token ids and log-probabilities too. Taught in notebook 01.
    """
    return Trace(
        step=step,
        group=rollout.group,
        index=rollout.index,
        problem=dataclasses.asdict(problem) if dataclasses.is_dataclass(problem) else dict(problem),
        prompt=prompt,
        completion=rollout.text,
        finish=rollout.finish,
        tokens=len(rollout.ids),
        parts=dict(score.parts) if score else {},
        total=score.total if score else None,
        advantage=float(advantage),
        ids=list(rollout.ids) if arrays else None,
        logprobs=list(rollout.logprobs) if arrays else None,
    )


# ---- text of one line ----------------------------------------------------------------------------


def _plain(value):
    """The value with every float that JSON cannot hold written as a word."""
    if isinstance(value, Trace):
        return _plain(value.to_dict())
    if isinstance(value, Mapping):
        return {str(k): _plain(x) for k, x in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(x) for x in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    return value


def _number(value):
    return NON_FINITE.get(value, value) if isinstance(value, str) else value


def _revive(record: dict) -> dict:
    """Words of `_plain` back to floats where numbers live: a completion may well say "NaN"."""
    for key in ("total", "advantage"):
        record[key] = _number(record[key])
    record["parts"] = {k: _number(x) for k, x in record["parts"].items()}
    if record.get("logprobs"):
        record["logprobs"] = [_number(x) for x in record["logprobs"]]
    return record


def encode(value, indent: int | None = None) -> bytes:
    """The value (Traces included) as strict JSON in UTF-8."""
    plain = _plain(value)
    try:
        return json.dumps(plain, ensure_ascii=False, allow_nan=False, indent=indent).encode()
    except UnicodeEncodeError:  # half of a surrogate pair: only the escaped form can hold it
        return json.dumps(plain, allow_nan=False, indent=indent).encode()


# ---- reading -------------------------------------------------------------------------------------


def lines(path, live: bool = False) -> Iterator[dict]:
    """The records of a `.jsonl` or `.jsonl.gz` file, one after the other.

    live: the run is still going on; an unfinished last line is left out instead of being an error.
    Raises FileNotFoundError, or TraceError naming the line. Taught in notebook 01.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            errno.ENOENT,
            f"no traces or metrics here ({'a folder' if path.is_dir() else 'no such file'}); "
            "give the .jsonl or .jsonl.gz file of a run folder",
            str(path),
        )
    number = 0
    with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
        try:
            # bytes, not str: only b"\n" ends a record, while text lines also end at U+2028 and the
            # like
            for number, line in enumerate(file, start=1):
                half = not line.endswith(b"\n")
                if half and live:
                    return
                try:
                    record = json.loads(line)
                    if not isinstance(record, dict):
                        raise ValueError(f"expected an object {{…}}, got {line[:40]!r}")
                except ValueError as error:
                    why = (
                        "is half a line: its run was stopped while writing it"
                        if half
                        else "is broken"
                    )
                    what = (
                        "Resume the run (it cuts the line off), or read with live=True"
                        if half
                        else "Delete the line or fetch the file again"
                    )
                    raise TraceError(f"{path}, line {number} {why} ({error}). {what}.") from error
                yield record
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise TraceError(
                f"{path} is no whole gzip file after line {number} ({error}). Fetch it again."
            ) from error


def iterate(path, live: bool = False) -> Iterator[Trace]:
    """The traces of a file one by one, for files larger than memory; errors as in `lines`."""
    for number, record in enumerate(lines(path, live), start=1):
        try:
            yield Trace.from_dict(record)
        except TraceError as error:
            raise TraceError(f"{path}, line {number}: {error}") from error


def read(path, live: bool = False) -> list[Trace]:
    """All traces of a `.jsonl` or `.jsonl.gz` file; errors as in `lines`. Taught in notebook 01."""
    return list(iterate(path, live))


def read_metrics(path, live: bool = False) -> list[dict]:
    """The steps of a `metrics.jsonl`, NaN and infinities as floats. Taught in notebook 01."""
    return [{k: _number(x) for k, x in record.items()} for record in lines(path, live)]


# ---- growing files -------------------------------------------------------------------------------


class Log:
    """A growing `.jsonl` file that can be watched, and cut back for an exact resume.

    path: the file, made when absent. offset: bytes to keep; what a killed run wrote after its last
    saved state goes. Without it the file is continued at its end. Save `log.offset` with the state,
    after `log.sync()`. Raises TraceError if the file ends in half a line or is shorter than the
    offset. Taught in notebook 01.
    """

    def __init__(self, path, offset: int | None = None):
        self.path = Path(path)
        if self.path.suffix == ".gz":
            raise TraceError(f"{path}: a gzip file cannot grow line by line; log to a plain .jsonl")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # unbuffered: a line is with the system when append returns, and a kill loses none
        self._file = self.path.open("a+b", buffering=0)
        self.offset = self._file.seek(0, os.SEEK_END)
        """Bytes written so far, always at the end of a whole line."""
        try:
            if offset is not None:
                self.truncate_to(offset)
            elif not self._whole(self.offset):
                raise TraceError(
                    f"{path} ends in half a line: its run was killed. Open it with the offset of "
                    "the last saved state, or with offset=0 to start anew."
                )
        except TraceError:
            self._file.close()
            raise

    def append(self, *records) -> None:
        """Write each record (dict or Trace) as one line; after an error no part of them stays."""
        data = memoryview(b"".join(encode(record) + b"\n" for record in records))
        done = 0
        try:
            while done < len(data):
                done += self._file.write(data[done:])
        except OSError as error:
            if done:
                self._file.truncate(self.offset)
            raise _told(error, self.path, "everything before this line is intact") from error
        self.offset += len(data)

    def truncate_to(self, offset: int) -> None:
        """Forget every byte after `offset`, which must be the end of a line that is there."""
        size = self._file.seek(0, os.SEEK_END)
        if not 0 <= offset <= size or not self._whole(offset):
            raise TraceError(
                f"{self.path} has {size} bytes and cannot be cut at {offset}, which is not the end "
                "of a line in it: file and saved state are not of one run. Start in a new folder."
            )
        self._file.truncate(offset)
        self.offset = self._file.seek(0, os.SEEK_END)

    def sync(self) -> None:
        """Have the system put the lines on the disk, so that a state saved next is never ahead."""
        os.fsync(self._file.fileno())

    def _whole(self, offset: int) -> bool:
        if offset == 0:
            return True
        self._file.seek(offset - 1)
        return self._file.read(1) == b"\n"

    def close(self) -> None:
        """Close the file; closing twice is harmless."""
        self._file.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def append(path, records: Iterable) -> None:
    """Add records (dicts or Traces) to a `.jsonl` file and close it; see `Log`."""
    with Log(path) as log:
        log.append(*records)


# ---- whole files ---------------------------------------------------------------------------------


def _told(error: OSError, path, state: str) -> OSError:
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    hint = "make room on the disk and run again" if full else "check the folder and its rights"
    return OSError(error.errno, f"could not write ({error.strerror}); {state}; {hint}", str(path))


def write_bytes(path, data: bytes) -> None:
    """Put `data` in the place of the file at once: readers find the old or the new, never half."""
    path = Path(path)
    temporary = path.with_name(
        f".{path.name}.{os.getpid()}.tmp"
    )  # same folder: rename stays atomic
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise _told(error, path, "the earlier file, if there was one, is intact") from error


def write_json(path, value) -> None:
    """Write a card, an evaluation or a state as JSON, atomically. Taught in notebook 01."""
    write_bytes(path, encode(value, indent=2) + b"\n")


def compress(data: bytes) -> bytes:
    """The same bytes for the same data: no time, no file name in the header."""
    buffer = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=buffer, mtime=0, compresslevel=9) as file:
        file.write(data)
    return buffer.getvalue()


def write(path, records: Iterable) -> None:
    """Write records (Traces or dicts) as `.jsonl`, or `.jsonl.gz` by the name, atomically."""
    data = b"".join(encode(record) + b"\n" for record in records)
    write_bytes(path, compress(data) if Path(path).suffix == ".gz" else data)

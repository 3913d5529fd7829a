"""How can a trace be read? As a static HTML page or plain text, safe whatever a model wrote.

The page is one file without network access. Model text reaches it as JSON and is shown by
textContent alone; a content security policy names the hash of the one script that may run. Left
out: widgets (`widgets.py`), pictures (`plots.py`).
"""

import base64
import hashlib
import itertools
import json
import re
import textwrap
from collections.abc import Mapping, Sequence
from functools import cache
from html import escape
from pathlib import Path

from r1book.measure import outcome
from r1book.trace import Trace
from r1book.words import REFLECTION_PATTERN, think_span, words

FONT = Path(__file__).resolve().parent.parent / "data" / "fonts" / "r1book-cjk.woff"
PAGE = 50
"""Traces listed at once: ten thousand rows would make a browser crawl."""

_TAG = re.compile(r"</?(?:think|answer)>")
# Controls except tab and line feed; zero-width and direction marks, which could reorder what is
# shown; halves of surrogate pairs, which no encoding can hold.
_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]"
)


@cache
def font_face() -> str:
    """CSS by which any machine can show the Chinese words of this world, as 'r1book CJK'."""
    font = base64.b64encode(FONT.read_bytes()).decode()
    return (
        "@font-face { font-family: 'r1book CJK'; "
        f"src: url(data:font/woff;base64,{font}) format('woff'); }}"
    )


def visible(text: str) -> str:
    """The text with each hidden or direction-changing character shown, as ␛ or ⟨U+202E⟩.

    >>> visible("a\\x1b[2J")
    'a␛[2J'

    Taught in notebook 01.
    """

    def show(match):
        code = ord(match.group())
        return chr(0x2400 + code) if code < 0x20 else f"⟨U+{code:04X}⟩"

    return _HIDDEN.sub(show, text)


def segments(text: str, lang: str) -> list[tuple[str, str]]:
    """A completion cut into (marks, piece); the pieces joined are the text.

    marks: a string of letters. One of "t" thinking, "a" answer, "g" tag, "o" outside; then "r" for
    a word of reflection, "l" for words in the other language than `lang` (only within the
    thinking). Taught in notebook 03.
    """
    start, end = think_span(text)
    opening = text.find("<answer>", end)
    opening = len(text) if opening < 0 else opening
    close = text.find("</answer>", opening)
    close = len(text) if close < 0 else close
    foreign = {"en": "zh", "zh": "en"}.get(lang)
    found = [(a, b) for language, a, b in words(text) if language == foreign and start <= a < end]
    between = [(a, b) for (_, a), (b, _) in itertools.pairwise(found) if text[a:b].isspace()]
    spans = [("l", *span) for span in (*found, *between)]  # blanks belong to the run around them
    spans += [("r", *m.span()) for m in REFLECTION_PATTERN.finditer(text, start, end)]
    spans += [("g", *m.span()) for m in _TAG.finditer(text)]
    edges = {0, start, end, opening, close, len(text)}
    flips: dict[int, set[str]] = {x: set() for x in edges}
    for mark, a, b in spans:  # spans of one mark touch at most, so each of their ends flips it
        flips[a] = flips.get(a, set()) ^ {mark}
        flips[b] = flips.get(b, set()) ^ {mark}
    pieces, on = [], set()
    for a, b in itertools.pairwise(x for x in sorted(flips) if flips[x] or x in edges):
        on ^= flips[a]
        where = "a" if opening <= a < close else "t" if start <= a < end else "o"
        marks = ("g" if "g" in on else where) + "r" * ("r" in on) + "l" * ("l" in on)
        if pieces and pieces[-1][0] == marks:
            marks, before = pieces.pop()
            a -= len(before)
        pieces.append((marks, text[a:b]))
    return pieces


def number(value) -> str:
    """Return a number in four digits, as text as it is, – for None. Taught in notebook 01."""
    if value is None:
        return "–"
    return f"{value:.4g}" if isinstance(value, int | float) else str(value)


def text(trace: Trace, width: int = 88) -> str:
    """One trace for a terminal, every hidden character visible. Taught in notebook 01."""
    problem = trace.problem
    rewards = ", ".join(f"{name} {number(x)}" for name, x in trace.parts.items())
    head = [
        f"step {trace.step}, group {trace.group}, answer {trace.index}: {outcome(trace)}, "
        f"{trace.tokens} tokens{', cut at the limit' if trace.finish == 'length' else ''}",
        f"{problem.get('family')}, level {problem.get('level')}, {problem.get('lang')}: "
        f"{problem.get('question')}",
        f"expected: {problem.get('answer')}",
        f"reward {number(trace.total)} ({rewards or 'not judged'}), advantage "
        f"{number(trace.advantage)}",
        "-" * width,
    ]
    body = visible("\n".join([*head, trace.completion]))
    wrapped = (
        textwrap.wrap(line.expandtabs(4), width, replace_whitespace=False, drop_whitespace=False)
        or [""]
        for line in body.split("\n")
    )
    return "\n".join(line.rstrip() for lines in wrapped for line in lines) + "\n"


def _embed(value) -> str:
    """JSON that can stand inside a script element: no `<`, `>`, `&`, nothing beyond ASCII."""
    plain = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return plain.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


_TOLD = ("family", "level", "lang", "question", "answer")


def _row(trace: Trace, table: dict[tuple, int]) -> dict:
    problem = trace.problem
    told = (*(problem.get(k, "") for k in _TOLD), trace.prompt)
    shared = tuple(visible(str(value)) for value in told)
    return {
        "s": trace.step,
        "g": trace.group,
        "i": trace.index,
        "p": table.setdefault(shared, len(table)),  # siblings share problem and prompt
        "o": outcome(trace),
        "c": trace.finish == "length",
        "n": trace.tokens,
        "r": number(trace.total),
        "a": number(trace.advantage),
        "w": {visible(str(k)): number(x) for k, x in trace.parts.items()},
        "t": [[m, visible(x)] for m, x in segments(trace.completion, problem.get("lang", "en"))],
    }


def html(
    traces: Sequence[Trace], title: str = "Traces", metrics: Sequence[Mapping] | None = None
) -> str:
    """A page that lists traces with filters and shows one of them whole; it can be opened anywhere.

    traces: in the order in which to list them. metrics: lines of metrics.jsonl; those of the
    trace's step are shown beside it. Taught in notebook 01.
    """
    table: dict[tuple, int] = {}
    rows = [_row(trace, table) for trace in traces]
    steps = {
        str(m.get("step")): {visible(str(k)): number(x) for k, x in m.items() if k != "step"}
        for m in metrics or ()
    }
    data = _embed({"rows": rows, "problems": list(table), "steps": steps, "page": PAGE})
    digest = base64.b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode()
    # replaced in one pass: a title or a text that holds a marker stays what it is
    values = {
        "TITLE": escape(visible(title)), "DATA": data, "SCRIPT": _SCRIPT, "HASH": digest,
        "FONT": font_face(),
    }  # fmt: skip
    return re.sub("%(TITLE|DATA|SCRIPT|HASH|FONT)%", lambda m: values[m.group(1)], _PAGE)


_SCRIPT = """
"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const get = id => document.getElementById(id);
const make = (tag, text, cls) => {
  const e = document.createElement(tag);
  if (text !== undefined) e.textContent = text;
  if (cls) e.className = cls;
  return e;
};
const FAMILY = 0, LEVEL = 1, LANG = 2, QUESTION = 3, ANSWER = 4, PROMPT = 5;
const problem = r => data.problems[r.p];
const fields = {step: r => String(r.s), family: r => problem(r)[FAMILY],
  level: r => problem(r)[LEVEL], outcome: r => r.o, cut: r => r.c ? "cut" : "ended"};
for (const [name, value] of Object.entries(fields)) {
  const seen = [...new Set(data.rows.map(value))];
  seen.sort((a, b) => a.localeCompare(b, "en", {numeric: true}));
  for (const x of seen) get(name).append(new Option(x, x));
  get(name).addEventListener("change", filter);
}
let found = data.rows, page = 0, current = null;
const whole = r => r.t.map(x => x[1]).join("");
function filter() {
  const want = Object.entries(fields).filter(([name]) => get(name).value !== "");
  const words = get("search").value.toLowerCase();
  found = data.rows.filter(r => want.every(([name, value]) => value(r) === get(name).value) &&
    (!words || (whole(r) + "\\n" + problem(r)[QUESTION]).toLowerCase().includes(words)));
  page = 0;
  list();
}
function list() {
  const pages = Math.max(1, Math.ceil(found.length / data.page));
  const rows = found.slice(page * data.page, (page + 1) * data.page);
  get("list").replaceChildren(...rows.map(r => {
    const item = make("li"), sign = {right: "\\u2713 ", wrong: "\\u2717 "}[r.o] || "? ";
    const button = make("button", sign + r.o + (r.c ? ", cut" : "") + " \\u00b7 step " + r.s +
      ", group " + r.g + ", answer " + r.i + " \\u00b7 " + r.n + " tokens \\u00b7 adv. " + r.a);
    button.type = "button";
    if (r === current) button.setAttribute("aria-current", "true");
    const question = make("span", problem(r)[QUESTION].slice(0, 120), "question");
    question.dir = "auto";
    button.append(question);
    button.addEventListener("click", () => show(r, button));
    item.append(button);
    return item;
  }));
  get("count").textContent = found.length + " of " + data.rows.length + " traces, page " +
    (page + 1) + " of " + pages;
  get("back").disabled = page === 0;
  get("next").disabled = page >= pages - 1;
}
function table(caption, pairs) {
  const t = make("table");
  t.append(make("caption", caption));
  for (const [name, value] of pairs) {
    const line = make("tr"), head = make("th", name);
    head.scope = "row";
    line.append(head, make("td", value));
    t.append(line);
  }
  return t;
}
function block(name, text) {
  const e = make("pre", text);
  e.dir = "auto";
  return [make("h3", name), e];
}
function show(r, button) {
  current = r;
  for (const b of get("list").querySelectorAll("[aria-current]")) b.removeAttribute("aria-current");
  if (button) button.setAttribute("aria-current", "true");
  const p = problem(r), body = make("pre");
  body.dir = "auto";
  for (const [marks, text] of r.t) {
    const tag = marks.includes("r") ? "mark" : marks.includes("l") ? "em" : "span";
    const e = make(tag, text, [...marks].map(m => "m-" + m).join(" "));
    if (marks.includes("r")) e.title = "word of reflection";
    else if (marks.includes("l")) e.title = "other language than the question";
    body.append(e);
  }
  const parts = [["outcome", r.o], ["finish", r.c ? "cut at the limit" : "ended by itself"],
    ["tokens", r.n], ...Object.entries(r.w).map(([k, x]) => ["reward: " + k, x]),
    ["reward in all", r.r], ["advantage", r.a]];
  const title = make("h2", "Step " + r.s + ", group " + r.g + ", answer " + r.i);
  const tables = make("div", undefined, "tables");
  tables.append(table("This answer", parts));
  const step = data.steps[String(r.s)];
  if (step) tables.append(table("Its step", Object.entries(step)));
  get("trace").replaceChildren(title, make("p", p[FAMILY] + ", level " + p[LEVEL] + ", " + p[LANG]),
    tables, ...block("Problem", p[QUESTION]), ...block("Expected answer", p[ANSWER]),
    make("h3", "Completion"), body, ...block("Prompt as the model saw it", p[PROMPT]));
}
function turn(by) { page += by; list(); get("list").querySelector("button")?.focus(); }
get("back").addEventListener("click", () => turn(-1));
get("next").addEventListener("click", () => turn(1));
get("search").addEventListener("input", filter);
get("list").addEventListener("keydown", event => {
  const by = {ArrowDown: 1, ArrowUp: -1}[event.key];
  if (!by) return;
  event.preventDefault();
  const buttons = [...get("list").querySelectorAll("button")];
  const to = buttons[buttons.indexOf(document.activeElement) + by];
  if (to) { to.focus(); to.click(); }
});
list();
if (found.length) show(found[0], get("list").querySelector("button"));
"""

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; style-src 'unsafe-inline'; font-src data:;
 script-src 'sha256-%HASH%'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>%TITLE%</title>
<style>
%FONT%
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif, 'r1book CJK'; margin: 0 auto; padding: 1rem;
  max-width: 90rem; }
h1 { font-size: 1.3rem; } h2 { font-size: 1.1rem; } h3 { font-size: 1rem; margin: 1rem 0 .2rem; }
.filters { display: flex; flex-wrap: wrap; gap: .6rem; } label { display: grid; font-size: .85rem; }
main { display: grid; grid-template-columns: minmax(16rem, 1fr) 2fr; gap: 1.5rem; }
@media (max-width: 50rem) { main { grid-template-columns: 1fr; } }
select, input, button { font: inherit; }
ol { list-style: none; padding: 0; max-height: 75vh; overflow-y: auto; }
li button { width: 100%; text-align: left; padding: .3rem .5rem; margin: 1px 0; cursor: pointer; }
li button[aria-current] { border-left: .5rem solid; font-weight: bold; }
.question { display: block; font-weight: normal; overflow-wrap: anywhere; }
:focus-visible { outline: 3px solid Highlight; outline-offset: 1px; }
pre { font-family: monospace, 'r1book CJK'; white-space: pre-wrap; overflow-wrap: anywhere;
  border: 1px solid; padding: .6rem; margin: 0; max-height: 70vh; overflow-y: auto;
  unicode-bidi: isolate; }
.m-t { font-style: italic; } .m-a { font-weight: bold; border-bottom: 2px solid; }
.m-g { font-size: .8em; border: 1px solid; border-radius: 3px; padding: 0 .2em; }
.m-r { background: #f0e442; color: #000; outline: 1px solid #000; }
.m-l { text-decoration: underline wavy #d55e00; }
.tables { display: flex; flex-wrap: wrap; gap: 1.5rem; } caption { font-weight: bold; }
table { border-collapse: collapse; align-self: start; }
th { text-align: left; font-weight: normal; }
th, td { border-bottom: 1px solid; padding: .1rem .6rem .1rem 0; overflow-wrap: anywhere; }
</style></head><body>
<h1>%TITLE%</h1>
<div class="filters" role="search">
<label>Step <select id="step"><option value="">all</option></select></label>
<label>Family <select id="family"><option value="">all</option></select></label>
<label>Level <select id="level"><option value="">all</option></select></label>
<label>Outcome <select id="outcome"><option value="">all</option></select></label>
<label>End <select id="cut"><option value="">all</option></select></label>
<label>Text <input id="search" type="search" autocomplete="off"></label>
</div>
<p>Marks: <span class="m-t">thinking in italics</span>; <span class="m-a">answer bold and
underlined</span>; <span class="m-g">tags in a small box</span>; <mark class="m-r">words of
reflection boxed</mark>; <em class="m-l">other language than the question, wavy line</em>.</p>
<main><nav aria-label="Traces">
<p id="count" role="status"></p>
<p><button id="back" type="button">Previous page</button>
<button id="next" type="button">Next page</button></p>
<ol id="list"></ol></nav>
<article id="trace"></article></main>
<noscript><p>This page needs JavaScript to list its traces; it loads nothing.</p></noscript>
<script type="application/json" id="data">%DATA%</script>
<script>%SCRIPT%</script>
</body></html>
"""

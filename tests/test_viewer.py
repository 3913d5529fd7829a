"""Does the viewer show every trace as text, whatever a model wrote?"""

import base64
import dataclasses
import doctest
import hashlib
import json
import math
import re
import shutil
import subprocess
import time
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_trace import make

from r1book import viewer

HOSTILE = [
    "</script><script>alert(1)</script>",
    "<!--<script>",
    "]]></style><img src=x onerror=alert(1)>",
    "&lt;b&gt; &amp; \u2028 \u2029",
    "%DATA% %SCRIPT% %TITLE% \\1 \\g<0>",
    "\x00\x07\x1b[2J\x9b\r\ud800",
    "\u202egnp.exe \u0627\u0644\u0639\u0631\u0628\u064a\u0629 \u2066x",
    "<think> half open <answ",
]


class Page(HTMLParser):
    """The elements and scripts of a page as a browser's parser would separate them."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.scripts, self.title = [], [], [], ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data):
        if self.tags and self.tags[-1] == "script" and data.strip():
            self.scripts.append(data)
            self.tags.append("after")
        elif self.tags[-1:] == ["title"]:
            self.title += data.removesuffix("\n")  # the line break after the element


def data(page):
    return json.loads(Page(page).scripts[0])


def shown(row):
    return "".join(piece for _, piece in row["t"])


def test_examples():
    assert doctest.testmod(viewer).failed == 0


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_adds_no_element_and_is_shown_whole(text):
    plain = Page(viewer.html([make()]))
    trace = make(
        completion=text,
        prompt=text,
        problem={"question": text, "answer": text, "family": text, "level": text, "lang": text},
        parts={text: 1.0},
    )
    source = viewer.html([trace], title=text, metrics=[{"step": 0, text: 1.0}])
    source.encode()  # no half of a surrogate pair is left
    page = Page(source)
    assert page.tags == plain.tags
    assert page.scripts[1] == plain.scripts[1]
    assert page.title == viewer.visible(text)
    told = json.loads(page.scripts[0])
    assert shown(told["rows"][0]) == viewer.visible(text)
    assert set(told["problems"][0]) == {viewer.visible(text)}
    assert not re.search("[\u2028\u2029\u202e]|[<>&]", page.scripts[0])


def test_the_page_is_alone_and_runs_one_script():
    page = Page(viewer.html([make()]))
    names = {name for name, _ in page.attributes}
    assert not names & {"src", "href", "action", "onclick", "onsubmit", "onload"}
    (content,) = [v for k, v in page.attributes if k == "content" and "default-src" in v]
    digest = base64.b64encode(hashlib.sha256(page.scripts[1].encode()).digest()).decode()
    assert "default-src 'none'" in content and f"script-src 'sha256-{digest}'" in content
    assert "innerHTML" not in page.scripts[1] and "document.write" not in page.scripts[1]


def test_controls_have_names_and_are_native():
    page = Page(viewer.html([make()]))
    assert page.tags.count("label") == page.tags.count("select") + page.tags.count("input") == 6
    assert "tabindex" not in {name for name, _ in page.attributes}


def test_rows_say_what_the_trace_says():
    traces = [
        make(3, 1, 0, finish="length", advantage=-0.25),
        make(3, 1, 1, parts={"accuracy": 0.0}, total=0.0, advantage=math.nan),
        make(3, 1, 2, parts={}, total=None),
    ]
    told = data(viewer.html(traces, metrics=[{"step": 3, "loss": math.inf, "kl": None}]))
    first, second, third = told["rows"]
    assert (first["s"], first["g"], first["i"], first["c"], first["a"]) == (3, 1, 0, True, "-0.25")
    assert [r["o"] for r in told["rows"]] == ["right", "wrong", "unjudged"]
    assert first["w"] == {"accuracy": "1", "format": "0.1"}
    assert second["a"] == "nan" and third["r"] == "–"
    assert [r["p"] for r in told["rows"]] == [0, 0, 0] and len(told["problems"]) == 1
    assert told["steps"] == {"3": {"loss": "inf", "kl": "–"}}


def test_marks_by_hand():
    text = "x <think> wait, 七 八 是 7 </think> <answer> but 56 </answer> y"
    assert viewer.segments(text, "en") == [
        ("o", "x "),
        ("g", "<think>"),
        ("t", " "),
        ("tr", "wait"),
        ("t", ", "),
        ("tl", "七 八 是"),
        ("t", " 7 "),
        ("g", "</think>"),
        ("o", " "),
        ("g", "<answer>"),
        ("a", " but 56 "),
        ("g", "</answer>"),
        ("o", " y"),
    ]
    assert ("trl", "wait") in viewer.segments(text, "zh")  # both: foreign and reflection
    assert viewer.segments("", "en") == []


@given(
    st.text(alphabet=st.sampled_from("a七 <>/\x00\n") | st.characters()) | st.sampled_from(HOSTILE)
)
def test_pieces_joined_are_the_text(text):
    for around in (text, f"<think>{text}", f"<think> wait {text} 等等</think>{text}<answer>{text}"):
        for lang in ("en", "zh"):
            pieces = viewer.segments(around, lang)
            assert "".join(piece for _, piece in pieces) == around
            assert all(piece for _, piece in pieces)


@given(st.text(alphabet=st.characters(categories=["Cc", "Cf", "Cs", "L"])))
def test_nothing_hidden_is_left(text):
    seen = viewer.visible(text)
    assert not re.search(
        "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\ud800-\udfff]", seen
    )
    assert "\x1b" not in viewer.text(make(completion=text, prompt=text))


def test_ten_thousand_traces_are_listed_in_pages_and_siblings_share_their_problem():
    one = make(completion="<think> wait , try 7 * 8 = 56 : no </think>", prompt="x" * 1000)
    source = viewer.html([dataclasses.replace(one, step=i // 256) for i in range(10_000)])
    told = data(source)
    assert len(told["rows"]) == 10_000 and len(told["problems"]) == 1 and told["page"] == 50
    assert len(source) < 5_000_000  # the prompt stands there once


@pytest.mark.parametrize(
    "text", ["x" * 100_000, "wait " * 20_000, "七" * 100_000, "<think>" * 15_000]
)
def test_very_long_lines_are_cut_up_in_linear_time(text):
    began = time.perf_counter()
    assert shown(data(viewer.html([make(completion=text)]))["rows"][0]) == text
    lines = viewer.text(make(completion=text), width=60).splitlines()
    assert max(map(len, lines)) <= 60
    assert time.perf_counter() - began < 30  # far less; quadratic work would take minutes


def test_text_for_a_terminal():
    trace = make(4, 2, 1, completion="<think> 7\n\x1b[31mred </think>", finish="length")
    assert viewer.text(trace, width=40) == (
        "step 4, group 2, answer 1: right, 5\ntokens, cut at the limit\n"
        "math, level 2, en: 3 + 4\nexpected: None\n"
        "reward 1.1 (accuracy 1, format 0.1),\nadvantage 0.5\n" + "-" * 40 + "\n"
        "<think> 7\n␛[31mred </think>\n"
    )
    assert "not judged" in viewer.text(make(parts={}, total=None))


@pytest.mark.skipif(not shutil.which("node"), reason="needs node to parse the script")
def test_the_script_is_javascript(tmp_path):
    script = tmp_path / "viewer.js"
    script.write_text(Page(viewer.html([make()])).scripts[1])
    subprocess.run(["node", "--check", script], check=True)

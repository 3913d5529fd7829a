"""Do the widgets work in JupyterLab, in a real browser, driven as a reader would drive them?

JupyterLab runs a notebook that shows every widget; headless Chromium opens it, runs it from the
menu, moves sliders by the keyboard, chooses, types and clicks, and reads what changed. Screenshots
of every widget are left in `runs/browser/` to be looked at.
"""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
DRIVER = shutil.which("chromedriver")
SHOTS = Path(__file__).resolve().parent.parent / "runs" / "browser"
CELL = ".jp-Notebook .jp-CodeCell"
PATIENCE = 120
"""Seconds until a widget must have answered, on a slow machine too."""
if not (CHROMIUM and DRIVER):
    if os.environ.get("CI") == "true":
        raise RuntimeError("no chromium and chromedriver here: CI must install them")
    pytest.skip("no chromium and chromedriver on this machine", allow_module_level=True)

nbformat = pytest.importorskip("nbformat")
pytest.importorskip("selenium")
from selenium import webdriver  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.ui import Select, WebDriverWait  # noqa: E402

from r1book import viewer, widgets_traces  # noqa: E402

HOSTILE = "<img src=x onerror=window.hacked=1><script>window.hacked=1</script> \u202eevil"
START = f"""
from r1book import evaluate, fork, measure, models, plots_budget, problems, rewards, widgets
from r1book import widgets_fork, widgets_traces
from r1book.config import EvalConfig

model, tokenizer = models.load(models.shipped("base"))
few = EvalConfig(problems=6, samples=4, max_new_tokens=64)
TRACES = evaluate.traces(model, tokenizer, "mini-MATH", few)
other = evaluate.traces(model, tokenizer, "mini-MATH", few, seed=1)
HOSTILE = {HOSTILE!r}
TRACES += widgets_traces.foreign([HOSTILE], HOSTILE)
"""
CELLS = {
    "inspector": "widgets_traces.Inspector(TRACES, page=5)",
    "lengths": "widgets_traces.length_explorer({'base': TRACES, 'again': other})",
    "languages": "widgets_traces.language_explorer({'base': TRACES, '又': other})",
    "time": "widgets_traces.time_slider({0: TRACES[:4], 10: other[:4], 20: TRACES[4:8]})",
    "stages": "widgets_traces.stage_comparer({'base': TRACES[:4], 'R1-Zero': other[:4]})",
    "fork": """
problem = problems.load("math", 1, split="dev", lang="zh")[0]
found = problem.answer
TEXT = f"<think> 我们看: 3 + 4 = 7. 是 {found}. </think> <answer> {found} </answer>"
parts = fork.prefixes(tokenizer, TEXT)
tokens = [b[len(a):] for a, b in zip(parts, parts[1:])]
curve = {f.place: f.value for f in fork.value_curve(
    model, tokenizer, problem, TEXT, cuts=4, samples=8, max_new_tokens=48)}


def resample(place, added, forbidden):
    ways = fork.intervene(
        model, tokenizer, problem, TEXT, place, ways={"yours": added},
        forbidden=forbidden or None, samples=8, max_new_tokens=48)
    return ways["yours" if added else "forbidden" if forbidden else "free"]


widgets_fork.Fork(tokens, curve, resample, lang="zh")
""",
    "playground": """
sum_ = problems.load("math", 1, split="dev", lang="en")[0]


def judge(text):
    mark, form = rewards.accuracy(text, sum_), rewards.format(text)
    return [("accuracy", mark.total, mark.why), ("format", form.total, form.why)]


widgets.reward_playground(
    {"right": f"<think> hm </think> <answer> {sum_.answer} </answer>", "empty": ""}, judge)
""",
    "bet": """
widgets.bet({"puzzles": {"RL": 0.25, "copying": 0.4}, "sums": {"RL": 0.2, "copying": 0.1}})
""",
    "group": """
widgets.group_microscope(
    [["<think>", "7", "</think>"], ["等等"]], [2.0, 1.0],
    {"centred": lambda r: [x - sum(r) / len(r) for x in r]})
""",
}


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """Return the address of JupyterLab with the notebook open."""
    folder = tmp_path_factory.mktemp("lab")
    cells = [nbformat.v4.new_code_cell(text.strip()) for text in (START, *CELLS.values())]
    kernel = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
    book = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})
    nbformat.write(book, folder / "widgets.ipynb")
    settings = folder / "settings" / "@jupyterlab" / "notebook-extension"
    settings.mkdir(parents=True)
    # all cells are in the page at once, so that what is below can be found
    (settings / "tracker.jupyterlab-settings").write_text('{"windowingMode": "none"}')
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    env = os.environ | {
        "JUPYTERLAB_SETTINGS_DIR": str(folder / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(folder / "workspaces"),
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
    }
    command = [
        sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1",
        f"--ServerApp.port={port}", "--ServerApp.port_retries=0", "--IdentityProvider.token=book",
        f"--ServerApp.root_dir={folder}", "--LabApp.news_url=None",
    ]  # fmt: skip
    address = f"http://127.0.0.1:{port}/lab/tree/widgets.ipynb?token=book"
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(command, env=env, stdout=log, stderr=subprocess.STDOUT)
    try:
        for _ in range(2 * PATIENCE):
            with contextlib.suppress(OSError):
                urllib.request.urlopen(address, timeout=5).close()
                break
            assert server.poll() is None, (folder / "log").read_text()[-2000:]
            time.sleep(0.5)
        yield address
    finally:
        server.terminate()
        server.wait(20)


@pytest.fixture(scope="module")
def browser(lab):
    """Return a browser in which the notebook has been run from the menu."""
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in ("headless=new", "no-sandbox", "disable-dev-shm-usage", "window-size=1300,1700"):
        options.add_argument(f"--{flag}")
    driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    try:
        driver.get(lab)
        until(driver, lambda d: len(d.find_elements(By.CSS_SELECTOR, CELL)) > len(CELLS), "cells")
        menu(driver, "Run", "Run All Cells")
        until(driver, lambda d: all(shown(d, name) for name in CELLS), "all widgets")
        yield driver
    finally:
        driver.quit()


def until(driver, condition, message: str = ""):
    return WebDriverWait(driver, PATIENCE, ignored_exceptions=[Exception]).until(condition, message)


def menu(driver, *names: str) -> None:
    """Choose from the menu bar, level by level."""
    for name in names:
        until(driver, lambda d, name=name: [
            e for e in d.find_elements(By.CSS_SELECTOR, ".lm-MenuBar-item, .lm-Menu-item")
            if e.is_displayed() and e.text.strip().split("\n")[0] == name
        ])[0].click()  # fmt: skip


def shown(driver, name: str):
    """Return the output of a widget's cell, or None while it is not there."""
    cell = driver.find_elements(By.CSS_SELECTOR, CELL)[1 + list(CELLS).index(name)]
    found = cell.find_elements(By.CSS_SELECTOR, ".jp-OutputArea-output .jupyter-widgets")
    return found[0] if found else None


class View:
    """One widget on the page."""

    def __init__(self, driver, name: str):
        self.driver, self.name, self.root = driver, name, shown(driver, name)
        driver.execute_script("arguments[0].scrollIntoView({block: 'start'})", self.root)

    def all(self, selector: str) -> list:
        return self.root.find_elements(By.CSS_SELECTOR, selector)

    def select(self, label: str):
        """Return the drop-down list with a label."""
        for box in self.all(".widget-dropdown"):
            if box.find_element(By.CSS_SELECTOR, "label").text == label:
                return Select(box.find_element(By.CSS_SELECTOR, "select"))
        raise AssertionError(f"no list called {label}")

    def slide(self, index: int, *keys: str) -> None:
        """Move a slider by the keyboard."""
        self.all(".noUi-handle")[index].send_keys(*keys)

    def button(self, text: str):
        return next(b for b in self.all("button") if text in b.text)

    def text(self) -> str:
        return self.root.text

    def pictures(self) -> list[str]:
        return [image.get_attribute("src") for image in self.all("img")]

    def wait(self, condition, what: str):
        until(self.driver, lambda _: condition(), what)

    def shoot(self, more: str = "") -> None:
        """Leave a screenshot, and look that nothing runs over to the right."""
        SHOTS.mkdir(parents=True, exist_ok=True)
        self.root.screenshot(str(SHOTS / f"{self.name}{more}.png"))
        wide = self.driver.execute_script(
            "return [arguments[0].scrollWidth, arguments[0].clientWidth]", self.root
        )
        assert wide[0] <= wide[1] + 2, f"{self.name} is {wide[0]} wide in {wide[1]}"


@pytest.fixture
def view(browser, request):
    return View(browser, request.param)


widget = lambda name: pytest.mark.parametrize("view", [name], indirect=True)  # noqa: E731


@widget("inspector")
def test_traces_are_filtered_paged_and_read(view):
    view.shoot()
    assert "25 of 25 traces" in view.text()
    view.button("page ▶").click()
    view.wait(lambda: not view.button("◀ page").get_attribute("disabled"), "second page")
    view.select("outcome").select_by_visible_text("unjudged")
    view.wait(lambda: "1 of 25 traces" in view.text(), "filter")
    assert "<script>window.hacked=1</script>" in view.text()  # as text
    assert view.driver.execute_script("return window.hacked") is None
    view.shoot("-hostile")
    view.select("outcome").select_by_visible_text("all")
    view.wait(lambda: "25 of 25" in view.text(), "all again")
    before = view.text()
    options = view.all(".widget-select option")
    options[2].click()
    view.wait(lambda: view.text() != before, "another trace")


@widget("lengths")
def test_lengths_are_redrawn_by_what_is_chosen(view):
    view.shoot()
    picture = view.pictures()
    view.select("by").select_by_visible_text("outcome")
    view.wait(lambda: view.pictures() != picture and "wrong" in view.text(), "bars by outcome")


@widget("languages")
def test_languages_are_redrawn_and_mixed_answers_read(view):
    view.shoot()
    picture = view.pictures()
    (numbers,) = view.all("pre")
    assert "又:" in numbers.text and "r1book CJK" in numbers.value_of_css_property("font-family")
    view.select("value").select_by_visible_text("changes of language an answer")
    view.wait(lambda: view.pictures() != picture, "changes of language")
    before = view.text()
    view.slide(0, Keys.ARROW_RIGHT)
    view.wait(lambda: view.text() != before, "next answer")


@widget("time")
def test_the_step_is_moved(view):
    view.shoot()
    view.slide(0, Keys.ARROW_RIGHT)
    view.wait(lambda: "step 10" in view.text(), "step 10")


@widget("stages")
def test_stages_stand_side_by_side(view):
    view.shoot()
    left, right = (each.location for each in view.all(".widget-hbox > .widget-vbox"))
    assert left["y"] == right["y"] and left["x"] < right["x"]
    view.select("right").select_by_visible_text("base")
    view.wait(lambda: "R1-Zero" not in view.all(".widget-hbox > .widget-vbox")[1].text, "base")


@widget("fork")
def test_a_thought_is_forked(view):
    view.shoot()
    picture = view.pictures()
    view.slide(0, Keys.ARROW_LEFT, Keys.ARROW_LEFT)
    view.wait(lambda: view.pictures() != picture, "cut moved")
    text, moved = view.all("input[type=text]")[0], view.pictures()
    text.send_keys("等等,", Keys.TAB)
    assert text.get_attribute("value") == "等等,"
    view.button("go on from here").click()
    view.wait(lambda: "of 8 right" in view.text() and view.pictures() != moved, "sampled")
    assert "等等" in view.text()
    view.shoot("-forked")
    text.send_keys(" frobnicate", Keys.TAB)
    view.button("go on from here").click()
    view.wait(lambda: "not sampled" in view.text(), "told of the unknown word")


@widget("playground")
def test_an_edited_answer_is_judged(view):
    view.shoot()
    assert "accuracy" in view.text()
    area = view.all("textarea")[0]
    area.send_keys(Keys.END, " and more", Keys.TAB)
    view.wait(lambda: "format" in view.text() and " 0 " in " ".join(view.text().split()), "judged")


@widget("group")
def test_a_reward_is_moved(view):
    view.shoot()
    said, picture = view.text(), view.pictures()
    view.slide(1, Keys.ARROW_LEFT)
    view.wait(lambda: view.text() != said and view.pictures() != picture, "recoloured")


@widget("bet")
def test_a_bet_is_placed_and_revealed(view):
    view.shoot()
    view.slide(0, Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    view.wait(lambda: "2 on copying; none" in view.text(), "staked")
    assert "0.400" not in view.text()
    view.button("reveal").click()
    view.wait(lambda: "2 on copying: +30" in view.text() and "In all +30." in view.text(), "paid")
    view.shoot("-revealed")


def test_a_page_of_traces_shows_chinese_on_any_machine(browser, tmp_path):
    """Last of all: it leaves JupyterLab."""
    text = "<think> 等等, 三 加 四 是 七 </think> <answer> 7 </answer>"
    page = tmp_path / "traces.html"
    page.write_text(viewer.html(widgets_traces.foreign([text], text), "痕迹"), encoding="utf-8")
    browser.get(page.as_uri())
    assert "三 加 四" in browser.find_element(By.TAG_NAME, "article").text
    fonts = "return document.fonts.ready.then(() => [...document.fonts].map(f => f.status))"
    assert browser.execute_script(fonts) == ["loaded"]  # parsed, and let in by the page's policy
    browser.save_screenshot(str(SHOTS / "page.png"))

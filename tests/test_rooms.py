"""Is the house as planned? Imports point upstream, text rooms load no torch, files are short."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "r1book"

# The stream: a room may import only rooms that stand before it. A file of a folder that is named
# here is a room of its own.
STREAM = (
    "settings base_config config graph world problems prompts words allowlist workers sandbox "
    "rewards world.gold world.labeller "
    "trace runs styles acts rewrite filters sets fused network models decode rollout actors grpo "
    "sft scoring rl curate intervals measure "
    "remedies doctor evaluate comparison gates preference scenario onpolicy budget fork "
    "work makers rewarders compute trainers "
    "stages forecast scale plots plots_group plots_budget plots_calibration plots_stages "
    "plots_fork viewer widgets widgets_traces widgets_fork hostile "
    "exercises effects claims book cli __main__"
).split()
# These read and write text: they load in an instant, on a machine without torch.
TORCH_FREE = set(
    "settings base_config config graph world problems prompts words allowlist workers sandbox "
    "rewards world.gold world.labeller "
    "trace runs styles acts rewrite filters sets intervals measure remedies doctor "
    "plots plots_group plots_budget plots_calibration plots_stages plots_fork viewer widgets "
    "widgets_traces widgets_fork hostile "
    "exercises effects claims".split()
)
TORCH = {"torch", "transformers", "peft", "trl", "accelerate"}
# Beyond the order: what a room must not know.
NOT_KNOWN = {
    "rollout": {"world", "world.labeller", "problems", "sandbox", "rewards"},  # what is correct
    "decode": {"world", "world.labeller", "problems", "sandbox", "rewards"},
    "grpo": {"world", "world.labeller", "problems", "prompts", "sandbox", "rewards"},  # text
    "scale": {"world", "world.labeller"},
}
# The gold quality stays hidden from everything but evaluation and the labels made of it.
for _room in set(STREAM) - {"world.gold", "world.labeller", "evaluate"}:
    NOT_KNOWN[_room] = NOT_KNOWN.get(_room, set()) | {"world.gold"}
# Options stop at the stage: the text rooms and the engine take plain arguments.
for _room in TORCH_FREE | {"network", "decode", "rollout", "grpo", "sft"}:
    NOT_KNOWN[_room] = NOT_KNOWN.get(_room, set()) | {"base_config", "config"}
NOT_KNOWN["config"].discard("base_config")

# A program that a model wrote may raise anything: here, and only here, everything may be caught.
MODEL_TEXT_BORDER = {"workers"}
NAMELESS = {"utils", "util", "common", "helpers", "helper", "base", "misc"}
MAX_LINES = 400

FILES = sorted(PACKAGE.rglob("*.py"))
each_file = pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))


def room_of(path: Path) -> str:
    """Return the room a file belongs to; a folder is one room, but for files named in STREAM."""
    parts = path.relative_to(PACKAGE).parts
    own = f"{parts[0]}.{path.stem}"
    if own in STREAM:
        return own
    return parts[0] if len(parts) > 1 else path.stem


def imported(path: Path, at_run_time: bool = False) -> list[tuple[int, str]]:
    """Return (line, dotted name) of every import in a file, nested ones and import_module("…") too.

    at_run_time: leave out what stands under `if TYPE_CHECKING:`, which is never executed.
    """
    package = ("r1book", *path.relative_to(PACKAGE).parts[:-1])
    found = []

    def walk(node: ast.AST) -> None:
        if isinstance(node, ast.Import):
            found.extend((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*above, *([node.module] if node.module else [])])
            found.extend((node.lineno, f"{module}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = ast.unparse(node.func)
            if called.rpartition(".")[2] in ("import_module", "__import__"):
                found.append((node.lineno, str(node.args[0].value)))
        elif at_run_time and isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for child in node.orelse:
                walk(child)
            return
        for child in ast.iter_child_nodes(node):
            walk(child)

    walk(ast.parse(path.read_text(encoding="utf-8")))
    return found


def rooms_imported(path: Path, at_run_time: bool = False) -> list[tuple[int, str]]:
    """Return (line, room) of every import of r1book in a file; `r1book.__version__` is no room."""
    dotted = [(line, name.split(".")) for line, name in imported(path, at_run_time)]
    return [
        (line, own if (own := ".".join(parts[1:3])) in STREAM else parts[1])
        for line, parts in dotted
        if parts[0] == "r1book" and len(parts) > 1 and parts[1] != "__version__"
    ]


def test_there_is_something_to_check():
    assert PACKAGE / "__init__.py" in FILES


@each_file
def test_the_file_has_a_place_on_the_stream(path):
    if path == PACKAGE / "__init__.py":
        assert imported(path) == [], "r1book/__init__.py holds the version and loads nothing"
        return
    assert room_of(path) in STREAM, f"{path.name}: no such room; place it in STREAM, or merge it"
    assert path.stem not in NAMELESS, f"{path.name}: say which one question the file answers"


@each_file
def test_imports_point_upstream(path):
    room = room_of(path)
    if path == PACKAGE / "__init__.py" or room not in STREAM:
        return  # the test above judges these
    for line, other in rooms_imported(path):
        where = f"{path.relative_to(ROOT)}:{line}"
        assert other in STREAM, f"{where} imports r1book.{other}, which is no room"
        if other == room:
            assert path.parent != PACKAGE, f"{where} imports itself"
            continue
        assert STREAM.index(other) < STREAM.index(room), f"{where}: {room} stands before {other}"
        assert other not in NOT_KNOWN.get(room, ()), f"{where}: {room} must not know {other}"


@each_file
def test_text_rooms_import_no_torch_not_even_inside_a_function(path):
    if room_of(path) not in TORCH_FREE:
        return
    for line, name in imported(path, at_run_time=True):
        assert name.split(".")[0] not in TORCH, f"{path.relative_to(ROOT)}:{line} imports {name}"
    for line, other in rooms_imported(path, at_run_time=True):
        where = f"{path.relative_to(ROOT)}:{line}"
        assert other in TORCH_FREE, f"{where} imports r1book.{other}, which may load torch"


def test_loading_every_text_room_loads_no_torch():
    modules = ["r1book"]
    for path in FILES:
        if room_of(path) in TORCH_FREE:
            parts = path.relative_to(ROOT).with_suffix("").parts
            modules.append(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    code = (
        f"import sys, {', '.join(modules)}\n"
        f"loaded = sorted({TORCH!r} & sys.modules.keys())\n"
        "sys.exit(f'loaded {loaded}' if loaded else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_files_of_the_world_import_each_other_without_a_circle():
    files = {path.stem: path for path in FILES if room_of(path) == "world"}
    edges = {
        stem: {
            parts[2]
            for _, name in imported(path, at_run_time=True)
            if (parts := name.split("."))[:2] == ["r1book", "world"] and len(parts) > 2
        }
        & files.keys()
        for stem, path in files.items()
    }
    while leaves := {stem for stem, others in edges.items() if not others}:
        edges = {stem: others - leaves for stem, others in edges.items() if stem not in leaves}
    assert edges == {}, f"these import each other in a circle, or lead into one: {sorted(edges)}"


@each_file
def test_the_file_is_short_and_says_what_it_answers(path):
    text = path.read_text(encoding="utf-8")
    lines = len(text.splitlines())
    assert lines <= MAX_LINES, f"{path.name} has {lines} lines; split it above {MAX_LINES}"
    assert ast.get_docstring(ast.parse(text)), f"{path.name}: say what it answers"


@each_file
def test_no_text_is_ever_executed(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called.removeprefix("builtins.") not in ("eval", "exec"), (
                f"{path.relative_to(ROOT)}:{node.lineno} calls {called}; text of a model is data"
            )


@each_file
def test_no_error_is_swallowed_unseen(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.ExceptHandler):
            continue
        where = f"{path.relative_to(ROOT)}:{node.lineno}"
        assert node.type is not None, f"{where}: name the errors that are expected here"
        if room_of(path) in MODEL_TEXT_BORDER:
            continue
        broad = {"Exception", "BaseException"} & set(re.findall(r"\w+", ast.unparse(node.type)))
        raises = any(isinstance(child, ast.Raise) for child in ast.walk(node))
        assert not broad or raises, f"{where} swallows {broad}: name the errors, or re-raise"


# The tree in README.md


def tree_paths(readme: str) -> set[str]:
    """Return the paths of the fenced block under the heading "## The tree", folders with a slash.

    >>> sorted(tree_paths("## The tree\\n```\\na/\\n  b.py  what b answers\\n```"))
    ['a/', 'a/b.py']
    """
    section = "\n" + f"\n{readme}\n".partition("\n## The tree\n")[2].partition("\n## ")[0]
    block = section.split("\n```")  # text, the fenced block with its language, text after it
    assert len(block) >= 3, 'README.md has no fenced block under the heading "## The tree"'
    paths, above = set(), []  # above: (depth, name) of the folders a line stands in
    for line in block[1].splitlines()[1:]:
        entry = re.match(r"([\s│├└─|`+-]*)(\S+)", line)
        if not entry or entry[2] == ".":
            continue
        depth, name = len(entry[1]), entry[2]
        above = [(d, n) for d, n in above if d < depth]
        paths.add("".join(n for _, n in above) + name)
        if name.endswith("/"):
            above.append((depth, name))
    return paths


def test_the_tree_is_read_with_its_folders():
    drawn = "# r\n\n## The tree\n\nAs of now:\n\n```text\n.\n├── r1book/     the library\n"
    drawn += "│   └── grpo.py  what is GRPO?\n└── Makefile    what can I do?\n```\n## Next\n"
    assert tree_paths(drawn) == {"r1book/", "r1book/grpo.py", "Makefile"}


def test_the_tree_of_the_readme_is_the_disk():
    readme = ROOT / "README.md"
    if not readme.exists():
        pytest.skip("there is no README.md yet")
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode != 0:
        pytest.skip("not a git checkout: what belongs to the project is not known")
    shown = tree_paths(readme.read_text(encoding="utf-8"))
    missing = sorted(p for p in shown if not (ROOT / p).exists())
    assert not missing, f"README.md shows what is not there: {missing}"
    shown |= {f"{above}/" for p in shown for above in Path(p).parents if above.name}
    expected = set()
    for name in filter(None, listed.stdout.splitlines()):
        top, _, rest = name.partition("/")
        if not (ROOT / name).exists():
            continue  # deleted, and not committed yet
        expected.add(f"{top}/" if rest else top)
        if re.fullmatch(r"r1book/(.+/)?(?!__init__)\w+\.py|notebooks/[^/]+\.ipynb", name):
            expected.add(name)
    hidden = sorted(expected - shown - {"README.md", ".gitignore"})
    assert not hidden, f"README.md does not show: {hidden}"

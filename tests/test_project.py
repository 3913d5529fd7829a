"""Do files that say the same thing agree? Version, address, ranges against pins and conda."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import r1book

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
# What conda-forge calls it, where that differs: the CPU build, and matplotlib without Qt.
CONDA_NAMES = {"torch": "pytorch-cpu", "matplotlib": "matplotlib-base"}


def pins() -> dict[str, str]:
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    lines = [line.partition("#")[0].strip() for line in text.splitlines()]
    return {canonicalize_name(n): v for n, _, v in (line.partition("==") for line in lines if line)}


@pytest.mark.parametrize("text", PROJECT["dependencies"] + EXTRAS["lab"] + EXTRAS["dev"])
def test_every_range_holds_its_pinned_version(text):
    wanted = Requirement(text)
    pinned = pins().get(canonicalize_name(wanted.name))
    assert pinned, f"constraints.txt has no version of {wanted.name}"
    assert pinned in wanted.specifier, f"{wanted} leaves out the pinned {pinned}"


def test_pins_name_no_platform():
    for name, version in pins().items():
        assert re.fullmatch(r"\d+(\.\d+)*(\.?(post|rc|a|b)\d+)?", version), (
            f"{name}: {version} exists on some machines only; leave the local suffix out"
        )


def test_conda_gets_what_pip_gets():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    conda = dict(line.partition(" ")[::2] for line in environment["dependencies"][:-1])
    for text in PROJECT["dependencies"] + EXTRAS["lab"]:
        wanted = Requirement(text)
        name = CONDA_NAMES.get(wanted.name, wanted.name)
        assert name in conda, f"environment.yml lacks {name}"
        given = Requirement(f"{wanted.name}{conda[name]}").specifier
        assert given == wanted.specifier, f"{name}: {given} here, {wanted.specifier} in pyproject"
    assert environment["dependencies"][-1] == {"pip": ["-e ."]}


def test_the_citation_is_of_this_version_and_address():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == r1book.__version__
    assert citation["repository-code"] == PROJECT["urls"]["Repository"]
    assert citation["license"] in PROJECT["license"]


def test_ci_can_be_started():
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111 == 0o111

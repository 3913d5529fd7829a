"""How is a checkpoint asked from a terminal? `eval`: sets of problems, `sample`: your own question.

Leaves out how answers are sampled (`rollout.py`) and counted (`evaluate.py`).
"""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from tqdm import tqdm

from r1book import problems, prompts, trace, viewer
from r1book.cli.shell import (
    AsJson,
    Checkpoint,
    Limit,
    Seed,
    Split,
    Temperature,
    TopP,
    folder_of,
    say,
    set_threads,
    table,
)
from r1book.config import EvalConfig

SETS = ",".join(EvalConfig.benchmarks)


def evaluation(
    checkpoint: Checkpoint,
    on: Annotated[
        str,
        typer.Option(
            metavar="SETS",
            help="Families (math, logic, stem, code, general) or benchmarks (mini-MATH, …), "
            "with commas.",
        ),
    ] = SETS,
    samples: Annotated[int, typer.Option(min=1, help="Answers each.")] = EvalConfig.samples,
    number: Annotated[
        int, typer.Option("--problems", min=1, help="Problems of each set.")
    ] = EvalConfig.problems,
    seed: Seed = 0,
    split: Split = EvalConfig.split,
    temperature: Temperature = EvalConfig.temperature,
    top_p: TopP = EvalConfig.top_p,
    max_new_tokens: Limit = EvalConfig.max_new_tokens,
    as_json: AsJson = False,
) -> None:
    """Measure a checkpoint on sets of problems.

    pass@1 with its interval, maj@k, length, format and language, as in a run's eval.json.

    For example: python -m r1book eval base --on mini-MATH,logic --samples 16 --json
    """
    names = tuple(filter(None, (name.strip() for name in on.split(","))))
    if not names:
        raise ValueError("--on names no set: expected for example mini-MATH,logic")
    for name in names:
        problems.load(name, 1, split=split)
    from r1book import evaluate, models

    set_threads()
    model, tokenizer = models.load(folder_of(checkpoint))
    asked = EvalConfig(names, number, samples, split, temperature, top_p, max_new_tokens)
    result = {}
    with tqdm(names, disable=not sys.stderr.isatty(), leave=False) as bar:
        for name in bar:
            bar.set_description(name)
            one = replace(asked, benchmarks=(name,))
            result |= evaluate.evaluate(model, tokenizer, one, seed)
    typer.echo(trace.encode(result, indent=2).decode() if as_json else table(result))


def compare(
    place: Annotated[
        Path,
        typer.Argument(
            metavar="DIR", help="Holds the run folders; what it lacks is taken from data/models."
        ),
    ] = Path("runs"),
    out: Annotated[
        Path | None, typer.Option(metavar="JSON", help="Default: DIR/stages.json.")
    ] = None,
    samples: Annotated[int, typer.Option(min=1, help="Answers each.")] = EvalConfig.samples,
    number: Annotated[
        int, typer.Option("--problems", min=1, help="Problems of each set.")
    ] = EvalConfig.problems,
    split: Split = EvalConfig.split,
) -> None:
    """Measure every stage on every set, beside the report's table.

    Stages without a folder in DIR are taken from data/models, or left out. A stopped table goes on.

    For example: python -m r1book compare runs --samples 4
    """
    from r1book import comparison, models

    set_threads()
    folders = {}
    for stage in comparison.STAGES:
        run = place / stage / "checkpoint"
        bundled = models.DATA / "models" / stage
        if run.is_dir() or bundled.is_dir():
            folders[stage] = run if run.is_dir() else bundled
    config = EvalConfig(problems=number, samples=samples, split=split)
    found = comparison.measure(folders, out or place / "stages.json", config, said=say)
    typer.echo(comparison.table(found))


def sample(
    checkpoint: Checkpoint,
    question: Annotated[str, typer.Argument(help="In words of the miniature world.")],
    template: Annotated[
        str, typer.Option(help="r1_zero, plain, talk, chat or report.")
    ] = "r1_zero",
    number: Annotated[int, typer.Option("-n", "--number", min=1, help="How many answers.")] = 1,
    temperature: Temperature = 1.0,
    top_p: TopP = 1.0,
    seed: Seed = 0,
    max_new_tokens: Limit = 256,
) -> None:
    """Ask a checkpoint a question of your own.

    For example: python -m r1book sample base "what is 3 + 4 * 2?" -n 4
    """
    if not question.strip():
        raise ValueError("an empty question: expected for example 'what is 3 + 4 * 2?'")
    prompt = prompts.render(question, template)
    import torch

    from r1book import models, rollout

    set_threads()
    model, tokenizer = models.load(folder_of(checkpoint))
    answers = rollout.sample(
        model,
        tokenizer,
        [prompt],
        group_size=number,
        max_new_tokens=max_new_tokens,
        temperature=temperature,
        top_p=top_p,
        generator=torch.Generator().manual_seed(seed),
    )
    for answer in answers:
        cut = ", cut at the limit" if answer.finish == "length" else ""
        typer.echo(f"--- answer {answer.index + 1} of {number}: {len(answer.ids)} tokens{cut}")
        typer.echo(viewer.visible(answer.text))

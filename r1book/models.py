"""Where do models live? Build, save, load and check miniature checkpoints, as ordinary Hugging Face
folders.

A folder holds config.json, generation_config.json, model.safetensors, tokenizer.json and a chat
template: `AutoModelForCausalLM.from_pretrained(folder)` opens it without r1book. Leaves out
training.
"""

import json
import os
import re
import shutil
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from r1book import runs
from r1book.config import ModelConfig
from r1book.network import LanguageModel, Shape, initialise
from r1book.world import vocab

DATA = Path(__file__).resolve().parent.parent / "data"
"""The shipped data of the book."""

FAMILIES = {"llama": "LlamaForCausalLM", "qwen2": "Qwen2ForCausalLM"}
CHAT_TEMPLATE = (
    "{% for m in messages %}{% if m['role'] == 'user' %}<bos><user> {{ m['content'] }} <assistant>"
    "{% else %} {{ m['content'] }}<eos>{% endif %}{% endfor %}"
)


class CheckpointError(ValueError):
    """A checkpoint folder that is missing, incomplete or damaged."""


def build(config: ModelConfig, seed: int) -> LanguageModel:
    """Return a new model over the world's vocabulary, weights drawn from `seed`.

    The embeddings of the numbers 0-99 start with a part shared by equal tens and one shared by
    equal ones, as their names do; sums are then learnt in fewer steps (60 % against 53 % right
    after 1.6M tokens of sums).
    """
    shape = Shape(
        family=config.family,
        vocab=len(vocab.VOCAB),
        hidden=config.hidden,
        layers=config.layers,
        heads=config.heads,
        kv_heads=config.kv_heads,
        mlp=config.mlp,
        positions=config.positions,
    )
    model = initialise(LanguageModel(shape), seed)
    table = model.model.embed_tokens.weight.data  # (V, D)
    generator = torch.Generator().manual_seed(seed + 1)
    tens, ones = (torch.randn(10, config.hidden, generator=generator) * 0.02 for _ in range(2))
    for n in range(100):
        row = vocab.IDS[str(n)]
        table[row] = (0.5 * table[row] + tens[n // 10] + ones[n % 10]) / 1.5
    return model


def tokenizer():
    """Return the world's tokenizer as a transformers tokenizer."""
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(
        tokenizer_object=vocab.build_tokenizer(),
        bos_token=vocab.BOS,
        eos_token=vocab.EOS,
        pad_token=vocab.PAD,
        unk_token=vocab.UNK,
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
    )


def hf_config(shape: Shape) -> dict:
    """Return the config.json of a shape."""
    return {
        "architectures": [FAMILIES[shape.family]],
        "model_type": shape.family,
        "vocab_size": shape.vocab,
        "hidden_size": shape.hidden,
        "intermediate_size": shape.mlp,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "max_position_embeddings": shape.positions,
        "rope_theta": shape.rope_theta,
        "rms_norm_eps": shape.eps,
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": True,
        "bos_token_id": vocab.IDS[vocab.BOS],
        "eos_token_id": vocab.IDS[vocab.EOS],
        "pad_token_id": vocab.IDS[vocab.PAD],
    }


def save(model: LanguageModel, folder, dtype: torch.dtype = torch.float32) -> Path:
    """Write a checkpoint folder at once or not at all; an older one at the same place stays until
    the new is complete.

    Raises OSError (disk full, no permission), the old folder intact. A folder cannot take the place
    of another in one go: killed between the two renames, the old one lies beside as .NAME.old, and
    the next `save` or `load` puts it back.
    """
    folder = Path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    _put_back(folder)
    new, old = _beside(folder, "new"), _beside(folder, "old")
    shutil.rmtree(new, ignore_errors=True)  # of a save that was killed
    try:
        new.mkdir()
        config = hf_config(model.shape) | {"dtype": str(dtype).removeprefix("torch.")}
        (new / "config.json").write_text(json.dumps(config, indent=2) + "\n")
        ends = {k: config[k] for k in ("bos_token_id", "eos_token_id", "pad_token_id")}
        (new / "generation_config.json").write_text(json.dumps(ends, indent=2) + "\n")
        tensors = {
            k: v.detach().to("cpu", dtype).contiguous() for k, v in model.state_dict().items()
        }
        try:
            save_file(tensors, new / "model.safetensors", metadata={"format": "pt"})
            tokenizer().save_pretrained(new)
        except OSError:
            raise
        except (
            Exception
        ) as error:  # both libraries wrap the system's error, one in a bare Exception
            number = re.search(r"os error (\d+)", str(error))
            raise OSError(int(number[1]) if number else None, str(error)) from error
        if folder.exists():
            os.replace(folder, old)
        os.replace(new, folder)
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        raise OSError(
            error.errno,
            f"could not save {folder}: {error}. Nothing older was touched; free space and resume",
        ) from error
    finally:
        _put_back(folder)
        shutil.rmtree(new, ignore_errors=True)
    return folder


def _beside(folder: Path, what: str) -> Path:
    return folder.with_name(f".{folder.name}.{what}")


def _put_back(folder: Path) -> None:
    """Undo a `save` that stopped between its two renames; drop an old folder that was replaced."""
    old = _beside(folder, "old")
    if old.is_dir() and not folder.exists():
        os.replace(old, folder)
    shutil.rmtree(old, ignore_errors=True)


def load(folder, *, check: str | None = None) -> tuple[LanguageModel, object]:
    """Return (model in float32, tokenizer) from a checkpoint folder written by `save`.

    `check` is an expected checksum of the folder. Raises CheckpointError when the folder is
    missing, incomplete, damaged, of another architecture, or has another checksum.
    """
    folder = Path(folder)
    if not folder.exists():
        _put_back(folder)
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        if not (folder / name).is_file():
            what = "no checkpoint folder" if not folder.is_dir() else f"{name} is missing"
            raise CheckpointError(
                f"{folder}: {what}. Expected a Hugging Face folder; "
                "train it with `python -m r1book run`"
            )
    if check is not None and (found := runs.checksum(folder)) != check:
        raise CheckpointError(
            f"{folder}: checksum {found[:12]}, expected {check[:12]}: "
            "not the checkpoint of that run"
        )
    try:
        config = json.loads((folder / "config.json").read_text())
        if config["model_type"] not in FAMILIES:
            raise ValueError(
                f"architecture {config['model_type']!r}, expected {' or '.join(FAMILIES)}"
            )
        shape = Shape(
            family=config["model_type"],
            vocab=config["vocab_size"],
            hidden=config["hidden_size"],
            layers=config["num_hidden_layers"],
            heads=config["num_attention_heads"],
            kv_heads=config["num_key_value_heads"],
            mlp=config["intermediate_size"],
            positions=config["max_position_embeddings"],
            # transformers 5 writes it into a dictionary of its own
            rope_theta=config.get("rope_parameters", config)["rope_theta"],
            eps=config["rms_norm_eps"],
        )
        model = LanguageModel(shape)
        tensors = load_file(folder / "model.safetensors")
        model.load_state_dict({k: v.float() for k, v in tensors.items()})
    except (
        KeyError,
        TypeError,
        ValueError,
        ArithmeticError,
        RuntimeError,
        SafetensorError,
    ) as error:
        what = f"config.json has no {error}" if isinstance(error, KeyError) else error
        raise CheckpointError(
            f"{folder}: damaged or not a miniature checkpoint ({what}). Train or copy it again"
        ) from error
    from transformers import PreTrainedTokenizerFast

    try:
        return model, PreTrainedTokenizerFast.from_pretrained(folder)
    except Exception as error:  # the tokenizers library raises bare Exceptions
        raise CheckpointError(
            f"{folder}: tokenizer.json is damaged ({error}). Train or copy it again"
        ) from error


def shipped(name: str) -> Path:
    """Return the folder of a bundled checkpoint, e.g. shipped('base'); CheckpointError when it is
    not there."""
    folder = DATA / "models" / name
    if not folder.is_dir():
        have = sorted(p.name for p in (DATA / "models").glob("*") if p.is_dir())
        raise CheckpointError(
            f"no bundled model {name!r}: data/models has {', '.join(have) or 'none'}"
        )
    return folder


def parameters(model: LanguageModel) -> int:
    """Return the number of parameters, the tied embedding counted once."""
    return sum(p.numel() for p in model.parameters())

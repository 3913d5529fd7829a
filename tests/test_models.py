"""Is our model the one transformers opens, and does a checkpoint survive what befalls it?"""

import errno
import json
import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import sys

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from r1book import models, network, runs
from r1book.config import ModelConfig
from r1book.network import LanguageModel, Shape, initialise
from r1book.world.vocab import BOS, EOS, IDS, PAD, VOCAB

SHAPES = {
    "llama": Shape("llama", len(VOCAB), 32, 2, 4, 2, 48, 600, rope_theta=500.0, eps=1e-5),
    "qwen2": Shape("qwen2", len(VOCAB), 32, 2, 4, 1, 40, 600, rope_theta=10000.0, eps=1e-6),
}
FILES = {
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
}
# A process to be killed is forked from one that has loaded torch but not used it.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["r1book.stages", "transformers.tokenization_utils_tokenizers"])


def tiny(family: str = "llama", seed: int = 0, shape: Shape | None = None) -> LanguageModel:
    """Return a small model that is far from uniform, with biases and gains that are not neutral."""
    model = initialise(LanguageModel(shape or SHAPES[family]), seed)
    generator = torch.Generator().manual_seed(seed + 1)
    for name, p in model.named_parameters():
        p.data.mul_(10.0 if p.ndim == 2 else 1.0)
        if p.ndim == 1:
            p.data.add_(torch.empty_like(p).normal_(0.0, 0.5, generator=generator))
        assert not name.endswith("bias") or p.abs().min() > 0
    return model


def opened(folder, **options):
    """Return the folder as transformers sees it."""
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder, local_files_only=True, **options).eval()


def litter(folder) -> set[str]:
    """Return what lies beside a checkpoint folder."""
    return {p.name for p in folder.parent.iterdir()} - {folder.name}


# ---- against transformers ------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["llama", "qwen2"])
def test_what_transformers_saves_can_be_loaded(tmp_path, family):
    model = tiny(family)
    first = opened(models.save(model, tmp_path / "ours"))
    first.save_pretrained(tmp_path / "theirs")
    models.load(tmp_path / "ours")[1].save_pretrained(tmp_path / "theirs")
    again, _ = models.load(tmp_path / "theirs")
    assert again.shape == model.shape
    for name, p in model.named_parameters():
        assert torch.equal(dict(again.named_parameters())[name], p), name


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("family", ["llama", "qwen2"])
def test_log_probabilities_are_those_of_transformers(tmp_path, family, dtype):
    models.save(tiny(family), tmp_path / "m", dtype)
    theirs = opened(tmp_path / "m", dtype=torch.float32)
    assert (
        type(theirs).__name__ == {"llama": "LlamaForCausalLM", "qwen2": "Qwen2ForCausalLM"}[family]
    )
    assert opened(tmp_path / "m").dtype == dtype  # what config.json says is what the file holds
    # what was saved, not what was read again: both readers could share a wrong config.json
    ours = tiny(family)
    for p in ours.parameters():
        p.data = p.data.to(dtype).float()
    generator = torch.Generator().manual_seed(3)
    # 560 tokens: beyond 512 attention takes another path
    for rows, length in ((3, 40), (1, 560)):
        ids = torch.randint(len(VOCAB), (rows, length), generator=generator)  # (B, T)
        with torch.no_grad():
            got = ours.logits(ids).log_softmax(-1)  # (B, T, V)
            want = theirs(ids).logits.log_softmax(-1)
        assert want.std() > 1  # nothing near uniform
        assert (got - want).abs().max() < 1e-4
        assert (got - want).abs().mean() < 1e-5
        assert (got.argmax(-1) == want.argmax(-1)).float().mean() > 0.995


def test_weights_have_the_names_and_shapes_of_transformers(tmp_path):
    for family in SHAPES:
        models.save(tiny(family), tmp_path / family)
        theirs = {n: p.shape for n, p in opened(tmp_path / family).named_parameters()}
        assert {n: p.shape for n, p in tiny(family).named_parameters()} == theirs


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("kv_heads", [4, 2, 1])
def test_attention_is_the_formula(kv_heads, dtype):
    generator = torch.Generator().manual_seed(0)
    q = torch.randn(1, 4, 520, 8, generator=generator).to(dtype)  # (B, H, T, d)
    k, v = torch.randn(2, 1, kv_heads, 520, 8, generator=generator).to(dtype)  # (B, K, T, d) each
    atol = 1e-5 if dtype == torch.float32 else 3e-2
    every = torch.randint(2, (1, 1, 520, 520), generator=generator).bool()  # any set may be seen
    every |= torch.eye(520, dtype=torch.bool)
    for length in (1, 5, 512, 520):  # 512 is the last of the short path in bfloat16
        part = q[:, :, :length], k[:, :, :length], v[:, :, :length]
        causal = torch.ones(length, length, dtype=torch.bool).tril()[None, None]
        for seen in (None, every[..., :length, :length]):
            added = None if seen is None else torch.zeros(1).where(seen, -torch.inf).to(dtype)
            got = network.attend(*part, added).float()
            for head, t in ((0, 0), (3, length - 1), (2, length // 2)):
                own = head * kv_heads // 4  # consecutive query heads share a key-value head
                to = (causal if seen is None else seen)[0, 0, t].nonzero().squeeze(1)
                scores = k[0, own, to].float() @ q[0, head, t].float() / 8**0.5  # (t+1,)
                want = scores.softmax(-1) @ v[0, own, to].float()
                assert torch.allclose(got[0, head, t], want, atol=atol)


@pytest.mark.parametrize("family", ["llama", "qwen2"])
def test_continuations_of_a_prefix_are_those_of_the_whole(family):
    model = tiny(family).double()
    generator = torch.Generator().manual_seed(4)
    lengths, rows = torch.tensor([3, 9, 5]), torch.tensor([2, 0, 0, 1])
    ids = torch.randint(4, len(VOCAB), (3, 9), generator=generator)  # what pads hold is not read
    more = torch.randint(4, len(VOCAB), (4, 6), generator=generator)
    prefix = model.prefix(ids, lengths)
    got = model.after(prefix, rows, more)  # (4, 6, D)
    for b, p in enumerate(rows.tolist()):
        n = int(lengths[p])
        whole = model.hidden(torch.cat([ids[p, :n], more[b]])[None])[0]  # (n + 6, D)
        assert torch.allclose(got[b], whole[n:], atol=1e-9)
        assert torch.allclose(prefix.last[p], whole[n - 1], atol=1e-9)


@pytest.mark.parametrize("family", ["llama", "qwen2"])
def test_a_tokenizer_that_transformers_opens(tmp_path, family):
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    folder = models.save(tiny(family), tmp_path / "m")
    # AutoTokenizer has a class of its own for every qwen2, see TROUBLESHOOTING.md
    opener = AutoTokenizer if family == "llama" else PreTrainedTokenizerFast
    theirs, ours = opener.from_pretrained(folder, local_files_only=True), models.tokenizer()
    for text in (
        "<think> 3 + 4 = 7, so (7 - 1) * 4 = 24. </think> <answer> 24 </answer>",
        "试 (7 - 1) * 4 = 24, 对.",
        "Try an unknownword now",
    ):
        ids = theirs(text, add_special_tokens=False)["input_ids"]
        assert ids == ours(text, add_special_tokens=False)["input_ids"] and len(ids) > 3, text
        assert (IDS["<unk>"] in ids) == ("unknownword" in text)
        if IDS["<unk>"] not in ids:
            assert theirs.decode(ids) == text
    assert (theirs.bos_token, theirs.eos_token, theirs.pad_token) == (BOS, EOS, PAD)
    assert len(theirs) == len(VOCAB)
    said = theirs.apply_chat_template([{"role": "user", "content": "hello"}], tokenize=False)
    assert said == "<bos><user> hello <assistant>"


def test_the_folder_opens_where_r1book_is_not_installed(tmp_path):
    folder = models.save(tiny("qwen2"), tmp_path / "m", torch.bfloat16)
    code = (
        "import json, sys\n"
        "sys.modules['r1book'] = None\n"
        "try:\n    import r1book\n    sys.exit('r1book is there')\n"
        "except ImportError:\n    pass\n"
        "from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast\n"
        "import torch\n"
        "model = AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=torch.float32)\n"
        "tokenizer = PreTrainedTokenizerFast.from_pretrained(sys.argv[1])\n"
        "ids = tokenizer('so 3 + 4 =', return_tensors='pt')['input_ids']\n"
        "print(json.dumps([ids.tolist(), model(ids).logits[0, -1, :5].tolist()]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, folder], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    ids, logits = json.loads(done.stdout)
    assert ids == [[IDS[t] for t in "so 3 + 4 =".split()]]
    ours = models.load(folder)[0].logits(torch.tensor(ids))[0, -1, :5]
    assert torch.allclose(ours, torch.tensor(logits), atol=1e-4)


# ---- building, saving, loading -------------------------------------------------------------------


def test_building_is_decided_by_the_seed():
    config = ModelConfig(hidden=16, layers=1, heads=2, kv_heads=1, mlp=24, positions=32)
    one, again, other = (models.build(config, seed) for seed in (1, 1, 2))
    for (name, a), b, c in zip(
        one.named_parameters(), again.parameters(), other.parameters(), strict=True
    ):
        assert torch.equal(a, b)
        assert a.ndim == 1 or not torch.equal(a, c), name
    # V*D + q 16*16 + k 8*16 + v 8*16 + o 16*16 + MLP 3*16*24 + three norms of 16
    assert models.parameters(one) == len(VOCAB) * 16 + 256 + 128 + 128 + 256 + 1152 + 48
    assert one.model.embed_tokens.weight.std().item() == pytest.approx(0.02, rel=0.05)
    with pytest.raises(ValueError, match="gpt2"):
        LanguageModel(Shape("gpt2", 10))
    with pytest.raises(ValueError, match=r"33 tokens.*at most 32"):
        one.logits(torch.zeros(1, 33, dtype=torch.long))


@pytest.mark.parametrize("family", ["llama", "qwen2"])
def test_save_and_load_give_the_same_weights(tmp_path, family):
    model = tiny(family)
    folder = models.save(model, tmp_path / "deep" / "m")
    assert {p.name for p in folder.iterdir()} == FILES
    back, tokenizer = models.load(folder)
    assert back.shape == model.shape and len(tokenizer) == len(VOCAB)
    for name, value in model.state_dict().items():
        assert torch.equal(back.state_dict()[name], value), name
    models.save(model, tmp_path / "half", torch.bfloat16)
    half, _ = models.load(tmp_path / "half")
    for name, value in model.state_dict().items():
        assert torch.equal(half.state_dict()[name], value.bfloat16().float()), name
    assert {v.dtype for v in load_file(tmp_path / "half" / "model.safetensors").values()} == {
        torch.bfloat16
    }


def test_the_checksum_is_that_of_the_weights_and_the_words(tmp_path):
    one, two, other = (
        models.save(tiny(seed=s), tmp_path / n) for s, n in ((0, "a"), (0, "b"), (1, "c"))
    )
    assert runs.checksum(one) == runs.checksum(two) != runs.checksum(other)
    before = runs.checksum(one)
    models.save(models.load(one)[0], one)  # through memory and over itself
    assert runs.checksum(one) == before and litter(one) == {"b", "c"}
    assert models.load(one, check=before)[0].shape == SHAPES["llama"]
    with pytest.raises(
        models.CheckpointError, match=f"checksum {before[:12]}, expected 000000000000"
    ):
        models.load(one, check="0" * 64)


# ---- damage --------------------------------------------------------------------------------------


def _edit(folder, **changes):
    config = json.loads((folder / "config.json").read_text()) | changes
    config = {k: v for k, v in config.items() if v is not ...}
    (folder / "config.json").write_text(json.dumps(config))


def _cut(file, share):
    file.write_bytes(file.read_bytes()[: int(share * file.stat().st_size)])


def _drop(folder):
    file = folder / "model.safetensors"
    tensors = load_file(file)
    del tensors["model.norm.weight"]
    save_file(tensors, file)


DAMAGE = {
    "no folder": (shutil.rmtree, "no checkpoint folder"),
    "no config": (lambda f: (f / "config.json").unlink(), "config.json is missing"),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), "model.safetensors is missing"),
    "no tokenizer": (lambda f: (f / "tokenizer.json").unlink(), "tokenizer.json is missing"),
    "empty weights": (lambda f: _cut(f / "model.safetensors", 0), "damaged"),
    "half the header": (lambda f: _cut(f / "model.safetensors", 0.001), "damaged"),
    "half the weights": (lambda f: _cut(f / "model.safetensors", 0.5), "damaged"),
    "noise": (lambda f: (f / "model.safetensors").write_bytes(b"\xff" * 4096), "damaged"),
    "a weight is missing": (_drop, "model.norm.weight"),
    "half a config": (lambda f: _cut(f / "config.json", 0.5), "damaged"),
    "config of bytes": (lambda f: (f / "config.json").write_bytes(b"\xff\xfe\x00"), "damaged"),
    "config is a list": (lambda f: (f / "config.json").write_text("[]"), "damaged"),
    "gpt2": (lambda f: _edit(f, model_type="gpt2"), "architecture 'gpt2', expected llama or qwen2"),
    "another width": (lambda f: _edit(f, hidden_size=64), "size mismatch"),
    "a width of text": (lambda f: _edit(f, hidden_size="wide"), "damaged"),
    "no heads": (lambda f: _edit(f, num_attention_heads=0), "damaged"),
    "no width": (lambda f: _edit(f, hidden_size=...), "config.json has no 'hidden_size'"),
    "half a tokenizer": (lambda f: _cut(f / "tokenizer.json", 0.5), "tokenizer.json is damaged"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_folder_is_told(tmp_path, damage):
    folder = models.save(tiny(), tmp_path / "m")
    spoil, told = DAMAGE[damage]
    spoil(folder)
    with pytest.raises(models.CheckpointError, match=re.escape(told)) as caught:
        models.load(folder)
    assert str(folder) in str(caught.value)  # which one
    assert re.search(r"[Tt]rain (it|or copy)", str(caught.value))  # and what to do


def test_shipped_names_what_there_is(tmp_path, monkeypatch):
    monkeypatch.setattr(models, "DATA", tmp_path)
    with pytest.raises(models.CheckpointError, match=r"no bundled model 'base'.* has none"):
        models.shipped("base")
    (tmp_path / "models" / "student").mkdir(parents=True)
    with pytest.raises(models.CheckpointError, match="student"):
        models.shipped("base")
    assert models.shipped("student") == tmp_path / "models" / "student"


# ---- a save that does not come to its end --------------------------------------------------------


@pytest.fixture
def disk(tmp_path):
    """Return the folder of a disk of 1 MB of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = shutil.which("mount")
    if mount is None or not sys.platform.startswith("linux"):
        pytest.skip("needs mount")
    command = [mount, "-t", "tmpfs", "-o", "size=1m", "tmpfs", place]
    if subprocess.run(command, capture_output=True).returncode != 0:
        pytest.skip("may not mount a small disk here: needs root")
    yield place
    subprocess.run(["umount", place], check=True)


def test_a_full_disk_leaves_the_old_folder(disk):
    folder = models.save(tiny(seed=0), disk / "m")
    before, size = runs.checksum(folder), sum(f.stat().st_size for f in folder.iterdir())
    weights = (folder / "model.safetensors").stat().st_size
    usage = shutil.disk_usage(disk)
    assert usage.free > size  # room for a second one: the filler takes it away
    # stops in config.json, within the weights, in tokenizer.json
    for room in (0, weights // 2, weights + 8192):
        filler = usage.free - room
        (disk / "filler").write_bytes(b"0" * filler)
        with pytest.raises(OSError, match=r"could not save .*m: .*space.*free space") as caught:
            models.save(tiny(seed=1), folder)
        assert caught.value.errno == errno.ENOSPC, room
        assert runs.checksum(folder) == before and litter(folder) == {"filler"}, room
    (disk / "filler").unlink()
    models.save(tiny(seed=1), folder)
    assert runs.checksum(folder) != before and litter(folder) == set()


def _full(*_, **__):
    raise OSError(errno.ENOSPC, "No space left on device")


def _full_in_rust(*_, **__):
    raise SafetensorError("I/O error: No space left on device (os error 28)")


@pytest.mark.parametrize("at", ["weights", "first rename", "second rename"])
def test_whatever_fails_the_old_folder_stays(tmp_path, monkeypatch, at):
    folder = models.save(tiny(seed=0), tmp_path / "m")
    before = runs.checksum(folder)
    replace, calls = os.replace, []

    def failing(source, target):
        calls.append(source)
        if len(calls) == ("first rename", "second rename").index(at) + 1:
            _full()
        replace(source, target)

    if at == "weights":
        monkeypatch.setattr(models, "save_file", _full_in_rust)
    else:
        monkeypatch.setattr(os, "replace", failing)
    with pytest.raises(
        OSError, match=r"No space left on device.*Nothing older was touched"
    ) as caught:
        models.save(tiny(seed=1), folder)
    assert caught.value.errno == errno.ENOSPC
    assert runs.checksum(folder) == before and litter(folder) == set()


def save_killed(folder, seed: int, call: int) -> None:
    """Save, and be killed before the `call`-th rename; run in a process of its own."""
    replace, calls = os.replace, []

    def killing(source, target):
        calls.append(source)
        if len(calls) == call:
            os.kill(os.getpid(), signal.SIGKILL)
        replace(source, target)

    os.replace = killing
    torch.set_num_threads(1)
    models.save(tiny(seed=seed), folder)


@pytest.mark.parametrize("call", [1, 2])
def test_a_killed_save_loses_no_checkpoint(tmp_path, call):
    folder = models.save(tiny(seed=0), tmp_path / "m")
    before = runs.checksum(folder)
    child = FORKS.Process(target=save_killed, args=(folder, 1, call))
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    assert folder.exists() == (call == 1)
    old = folder if call == 1 else tmp_path / ".m.old"
    assert runs.checksum(old) == before  # at no time is there neither
    assert models.load(folder)[0].shape == SHAPES["llama"]
    assert runs.checksum(folder) == before
    models.save(tiny(seed=1), folder)  # takes the litter of the killed one away
    assert litter(folder) == set() and runs.checksum(folder) != before


def test_a_first_save_that_is_killed_leaves_no_half_folder(tmp_path):
    child = FORKS.Process(target=save_killed, args=(tmp_path / "m", 1, 1))
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    with pytest.raises(models.CheckpointError, match="no checkpoint folder"):
        models.load(tmp_path / "m")
    models.save(tiny(), tmp_path / "m")
    assert litter(tmp_path / "m") == set()

"""Under which conditions does every test run? Offline, two threads, no display."""

import importlib.util
import os
import sys
from pathlib import Path

import hypothesis
import pytest

OFFLINE = Path(__file__).resolve().parent / "offline"


def go_offline() -> None:
    """Refuse the network in this process and in every Python it starts, kernels included."""
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE"):
        os.environ[name] = "1"
    paths = [p for p in os.environ.get("PYTHONPATH", "").split(os.pathsep) if p]
    if str(OFFLINE) not in paths:
        os.environ["PYTHONPATH"] = os.pathsep.join([str(OFFLINE), *paths])
    loaded = getattr(sys.modules.get("sitecustomize"), "__file__", None)
    if loaded != str(OFFLINE / "sitecustomize.py"):
        spec = importlib.util.spec_from_file_location("sitecustomize", OFFLINE / "sitecustomize.py")
        module = importlib.util.module_from_spec(spec)
        sys.modules["sitecustomize"] = module
        spec.loader.exec_module(module)


# Before anything imports torch, transformers or matplotlib, which read these once.
go_offline()
os.environ.setdefault("OMP_NUM_THREADS", "2")
os.environ.setdefault("MKL_NUM_THREADS", "2")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("MPLBACKEND", "Agg")


# A slow machine is no failure; examples are drawn from the test's name, so that all see the same.
hypothesis.settings.register_profile("here", deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("here")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip, with a reason, what is marked `gpu` where there is no CUDA device."""
    on_gpu = [item for item in items if item.get_closest_marker("gpu")]
    if not on_gpu:
        return  # importing torch takes seconds
    import torch

    if not torch.cuda.is_available():
        for item in on_gpu:
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device, none found"))

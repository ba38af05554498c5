"""Threads are capped inside the block and restored behind it; the package costs nothing to import."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from threadpoolctl import threadpool_info

from benchbench.probes import thread_limit


def blas_threads() -> set[int]:
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


def test_threads_are_capped_and_restored_even_after_an_error():
    before, blas = torch.get_num_threads(), blas_threads()

    def fail() -> None:
        with thread_limit(1) as count:
            assert count == 1
            assert torch.get_num_threads() == 1
            assert blas_threads() == {1}
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert torch.get_num_threads() == before
    assert blas_threads() == blas


def test_importing_the_probes_imports_neither_torch_nor_scikit_learn():
    heavy = "('torch', 'sklearn', 'scipy', 'timm')"
    code = f"import sys, benchbench.probes; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

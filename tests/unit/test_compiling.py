"""Kernels are compiled before a worker works, once for each version of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from streams import compiling


def test_kernels_of_a_new_version_are_compiled_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    compiled: list[int] = []
    compile_kernels = compiling.compile_kernels
    monkeypatch.setattr(compiling, "DONE", tmp_path / "kernels-new" / "complete")
    monkeypatch.setattr(compiling, "compile_kernels", lambda: compiled.append(compile_kernels()))
    compiling.ensure_kernels()
    compiling.ensure_kernels()
    assert len(compiled) == 1
    assert compiled[0] > 200  # records, and ticks


def test_a_folder_that_cannot_be_written_stops_nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(compiling, "DONE", tmp_path / "file" / "complete")
    assert compiling.compile_kernels() > 200


def test_what_the_second_process_fails_in_is_left_to_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling.sys, "executable", "/bin/false")
    assert compiling.compile_kernels() > 200

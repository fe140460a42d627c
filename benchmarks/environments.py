"""What contenders run in, built on demand under benchmarks/.peers: an environment of a lock file, or jars by Maven."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

PEERS = Path(__file__).parent / "peers"
BUILT = Path(__file__).parent / ".peers"
BUILD_TIMEOUT_S = 900


class BuildError(RuntimeError):
    """A contender could not be built; the message has the end of what was said."""


def python_of(folder: str) -> str:
    """The interpreter of an environment with what the contender's requirements.lock lists. Raises BuildError."""
    lock, place = PEERS / folder / "requirements.lock", BUILT / folder
    interpreter = place / "bin" / "python"
    if not _is_built(place, [lock]):
        _run([sys.executable, "-m", "venv", "--clear", str(place)])
        install = [
            str(interpreter),
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--require-hashes",
        ]
        _run([*install, "--requirement", str(lock)])
        _note_built(place, [lock])
    return str(interpreter)


def jars_of(folder: str) -> str:
    """The class path of what the contender's pom.xml builds. Raises BuildError."""
    source, place = PEERS / folder, BUILT / folder
    files = sorted([source / "pom.xml", *source.glob("src/**/*.java")])
    if not _is_built(place, files):
        if not shutil.which("mvn"):
            raise BuildError("needs Java 17 and Maven (mvn)")
        shutil.rmtree(place, ignore_errors=True)
        goals = ["package", "dependency:copy-dependencies", f"-Dbuild.folder={place}", f"-DoutputDirectory={place}"]
        _run(["mvn", "--batch-mode", "--quiet", "--file", str(source / "pom.xml"), *goals])
        _note_built(place, files)
    return f"{place}/*"


def version_of(folder: str, package: str) -> str:
    """The version of a package that a contender's files name: `name==` in its lock, `<name.version>` in its pom."""
    for file, form in (
        ("requirements.lock", rf"^{package}==(\S+)"),
        ("pom.xml", rf"<{package}\.version>(.+?)<"),
    ):
        path = PEERS / folder / file
        if path.is_file() and (found := re.search(form, path.read_text(), re.MULTILINE)):
            return found[1]
    raise BuildError(f"{folder} names no version of {package}")


def _is_built(place: Path, files: Iterable[Path]) -> bool:
    stamp = place / ".built"
    return stamp.is_file() and stamp.read_text() == _digest(files)


def _note_built(place: Path, files: Iterable[Path]) -> None:
    (place / ".built").write_text(_digest(files))


def _digest(files: Iterable[Path]) -> str:
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=BUILD_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise BuildError(f"{command[0]} took more than {BUILD_TIMEOUT_S} s") from None
    if done.returncode:
        raise BuildError(done.stdout[-2000:].strip())

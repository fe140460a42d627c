"""What contenders run in, built on demand: an environment of a lock file, or jars by Maven.

They are kept in ~/.cache/zhice/peers, by what they are built from, so that a changed lock or source is built anew.
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

from streams.broker import BrokerError
from streams.kafka_broker import cache_folder, run_to_end

PEERS = Path(__file__).parent / "peers"
BUILD_TIMEOUT_S = 900
BUILT = ".built"  # a file in a folder that is complete


class BuildError(RuntimeError):
    """A contender could not be built; the message has the end of what was said."""


def python_of(folder: str) -> str:
    """The interpreter of an environment with what the contender's requirements.lock lists. Raises BuildError."""
    lock = PEERS / folder / "requirements.lock"
    place = cache_folder(f"peers/{folder}", [lock])
    interpreter = place / "bin" / "python"
    if not _is_built(place):
        _build([sys.executable, "-m", "venv", "--clear", str(place)])
        install = [str(interpreter), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        _build([*install, "--require-hashes", "--requirement", str(lock)])
        _note_built(place)
    return str(interpreter)


def jars_of(folder: str) -> str:
    """The class path of what the contender's pom.xml builds. Raises BuildError."""
    pom = PEERS / folder / "pom.xml"
    place = cache_folder(f"peers/{folder}", sorted([pom, *pom.parent.glob("src/**/*.java")]))
    if not _is_built(place):
        if not shutil.which("mvn"):
            raise BuildError("needs Java 17 and Maven (mvn)")
        shutil.rmtree(place, ignore_errors=True)
        goals = ["package", "dependency:copy-dependencies", f"-Dbuild.folder={place}", f"-DoutputDirectory={place}"]
        _build(["mvn", "--batch-mode", "--quiet", "--file", str(pom), *goals])
        _note_built(place)
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


def _is_built(place: Path) -> bool:
    return (place / BUILT).is_file()


def _note_built(place: Path) -> None:
    (place / BUILT).touch()


def _build(command: list[str]) -> None:
    try:
        run_to_end(command, BUILD_TIMEOUT_S, command[0])
    except BrokerError as error:
        raise BuildError(str(error)) from None

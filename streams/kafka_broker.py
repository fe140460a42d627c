"""Apache Kafka itself, started as a child process from the jars that deploy/kafka/pom.xml names.

For tests and benchmarks, and for `zhice broker --apache`. Needs Java 17; Maven resolves the jars once into
~/.cache/zhice, from where later starts take them, the classes that a broker loads, and what a new folder of data holds.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path

from streams.broker import HOST, BrokerError, BrokerProcess, free_port

DEPLOY = Path(__file__).resolve().parent.parent / "deploy" / "kafka"
JAVA_AT_LEAST = 17
RESOLVE_TIMEOUT_S = 300.0
FORMAT_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 10.0
ARCHIVE_TIMEOUT_S = 120.0


class ApacheKafka(BrokerProcess):
    """One node of Apache Kafka in KRaft mode, broker and controller in one process.

    Clients come in by the listener CLIENT, at `address`. Nodes of a cluster talk over INTERNAL, which is plain, so a
    test can secure CLIENT by `properties` (`listener.security.protocol.map`, `listener.name.client.…`) and still
    administer the broker at `internal_address`.
    """

    name = "Apache Kafka"
    start_timeout_s = 90.0

    def __init__(
        self,
        port: int = 0,
        *,
        node_id: int = 1,
        properties: Mapping[str, str] | None = None,
        join: ApacheKafka | None = None,
        heap_mb: int = 512,
    ) -> None:
        """`properties` go over the defaults; `join` makes this a broker of that running node's cluster.

        `kill` and `restart` are for tests: the data stay, and so do the ports.
        """
        super().__init__(port)
        self.node_id = node_id
        self.cluster_id: str = join.cluster_id if join else _new_id()
        self._properties = dict(properties or {})
        self._joined = join
        self._heap_mb = heap_mb
        self._internal_port = self._controller_port = 0
        self._voters = ""  # of a cluster whose nodes are all controllers
        self._java: list[str] = []
        self._keeps_classes: list[str] = []  # Java's option to make its archive of them
        self._log_read = 0  # bytes of the log that are of an earlier start

    @property
    def internal_address(self) -> str:
        """Bootstrap address of the listener INTERNAL, always plain."""
        return f"{HOST}:{self._internal_port}"

    @property
    def voter(self) -> str:
        """`ID@HOST:PORT` of this node as the controller of its cluster."""
        return f"{self.node_id}@{HOST}:{self._controller_port}"

    def server_properties(self) -> dict[str, str]:
        """What server.properties holds, the caller's properties included."""
        listeners = f"CLIENT://{self.address},INTERNAL://{self.internal_address}"
        controller = "" if self._joined else f",CONTROLLER://{HOST}:{self._controller_port}"
        defaults = {
            "process.roles": "broker" if self._joined else "broker,controller",
            "node.id": str(self.node_id),
            "controller.quorum.voters": self._voters or (self._joined or self).voter,
            "controller.listener.names": "CONTROLLER",
            "listeners": listeners + controller,
            "advertised.listeners": listeners,
            "inter.broker.listener.name": "INTERNAL",
            "listener.security.protocol.map": "CLIENT:PLAINTEXT,INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "log.dirs": str(self._data),
            "auto.create.topics.enable": "false",
            "group.initial.rebalance.delay.ms": "0",
            "group.min.session.timeout.ms": "1000",
            "offsets.topic.num.partitions": "4",
            "offsets.topic.replication.factor": "1",
            "transaction.state.log.num.partitions": "4",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "share.coordinator.state.topic.num.partitions": "1",
            "share.coordinator.state.topic.replication.factor": "1",
            "share.coordinator.state.topic.min.isr": "1",
            "num.network.threads": "2",
            "num.io.threads": "4",
            "metric.reporters": "",  # by default each metric is a bean of JMX, which takes a seventh of a start
        }
        return defaults | self._properties

    def _command(self) -> list[str]:
        missing = missing_for_apache_kafka()
        if missing:
            raise BrokerError(f"Apache Kafka needs {missing}")
        self._internal_port = free_port(besides=(self.port,))
        if not self._voters:
            self._controller_port = free_port(besides=(self.port, self._internal_port))
        _write_properties(self._config, self.server_properties())
        jars = resolve_jars()
        self._java = _java_command(jars, self._heap_mb)
        if not self._keeps_classes:
            self._java += _archive_options(jars)
        self._format_storage(jars)
        return self._server_command()

    def kill(self) -> None:
        """kill -9. What it wrote stays for `restart`."""
        process, self._process = self._process, None
        if process is not None:
            BrokerProcess._end(process)

    def restart(self) -> None:
        """Start again with the same data on the same ports, after `kill`. Raises BrokerError."""
        self._log_read = len(self._log.read_bytes())
        self._run(self._server_command())

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    @property
    def _config(self) -> Path:
        return self.folder / "server.properties"

    def _server_command(self) -> list[str]:
        return [*self._java, *self._keeps_classes, "kafka.Kafka", str(self._config)]

    def archive_classes(self, file: Path) -> None:
        """Start, let Java keep the classes that it has loaded in a file, and stop. Raises BrokerError."""
        self._keeps_classes = [f"-XX:ArchiveClassesAtExit={file}"]
        with self:
            assert self._process is not None
            self._process.terminate()
            try:
                self._process.wait(ARCHIVE_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                raise BrokerError(f"{self.name} keeps no classes within {ARCHIVE_TIMEOUT_S} s") from None
        if not file.exists():
            raise BrokerError(f"{self.name} has kept no classes")

    def _format_storage(self, jars: Path) -> None:
        """As Kafka's own tool does, which takes a third of a start: what it once wrote is kept, and gets new ids."""
        if self._joined:
            self._data.mkdir()
        else:
            shutil.copytree(self._formatted(jars), self._data)
        ids = {"cluster.id": self.cluster_id, "node.id": str(self.node_id), "directory.id": _new_id()}
        _write_properties(self._data / "meta.properties", {"version": "1"} | ids)

    def _formatted(self, jars: Path) -> Path:
        """A controller's folder of data as the tool formats it, with some ids. Raises BrokerError."""
        return _made_once(jars.parent / f"{jars.name}-formatted", self._format_into)

    def _format_into(self, place: Path) -> None:
        with tempfile.TemporaryDirectory(prefix=f"{place.name}-", dir=place.parent) as folder:
            data, config = Path(folder) / "data", Path(folder) / "server.properties"
            _write_properties(config, self.server_properties() | {"log.dirs": str(data)})
            command = [*self._java, "kafka.tools.StorageTool", "format", "-t", self.cluster_id, "-c", str(config)]
            run_to_end(command, FORMAT_TIMEOUT_S, "formatting the storage of Apache Kafka")
            data.rename(place)

    def _is_ready(self) -> bool:
        return b"Kafka Server started" in self._log.read_bytes()[self._log_read :]

    @staticmethod
    def _end(process: subprocess.Popen[bytes]) -> None:
        process.send_signal(signal.SIGTERM)  # in a cluster, the others hear that it leaves
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            BrokerProcess._end(process)


def missing_for_apache_kafka() -> str:
    """What Apache Kafka cannot start without and is not here, in words; empty if all is there."""
    missing = []
    if int(java_version().partition(".")[0] or 0) < JAVA_AT_LEAST:
        missing.append(f"Java {JAVA_AT_LEAST} or newer")
    if not (DEPLOY / "pom.xml").is_file():
        missing.append("deploy/kafka/pom.xml of the project's checkout")
    elif not _jars_folder().is_dir() and not shutil.which("mvn"):
        missing.append("Maven (mvn)")
    return " and ".join(missing)


def resolve_jars() -> Path:
    """Folder with the jars, resolved by Maven if they are not there yet. Raises BrokerError."""
    return _made_once(_jars_folder(), _resolve_into)


def _made_once(place: Path, make: Callable[[Path], None]) -> Path:
    """A file or folder that is kept; made where it is not there yet, by the first of those that run in parallel."""
    if not place.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        with (place.parent / f"{place.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # let go when the file is closed
            if not place.exists():
                make(place)
    return place


def _archive_options(jars: Path) -> list[str]:
    """Java's option to read the classes from where an earlier start has kept them: this one takes half of the CPU.

    The first start of a Java makes the archive; where it cannot, it leaves an empty file, and there is no option.
    """
    archive = _made_once(jars.parent / f"{jars.name}-java-{java_version()}.jsa", _make_archive)
    return [f"-XX:SharedArchiveFile={archive}"] if archive.stat().st_size else []


def _make_archive(archive: Path) -> None:
    folder = Path(tempfile.mkdtemp(prefix=f"{archive.name}-", dir=archive.parent))
    try:
        made = folder / "classes"
        ApacheKafka().archive_classes(made)
        made.rename(archive)
    except BrokerError:  # what it may have written is not whole
        archive.touch()
    finally:
        shutil.rmtree(folder)


def _resolve_into(jars: Path) -> None:
    partial = Path(tempfile.mkdtemp(prefix=f"{jars.name}-", dir=jars.parent))
    try:
        goal = ["dependency:copy-dependencies", f"-DoutputDirectory={partial}"]
        command = [_absolute("mvn"), "--batch-mode", "--quiet", "--file", str(DEPLOY / "pom.xml"), *goal]
        run_to_end(command, RESOLVE_TIMEOUT_S, "resolving the jars of Apache Kafka")
        partial.rename(jars)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _jars_folder() -> Path:
    return cache_folder("kafka", [DEPLOY / "pom.xml"])


def cache_folder(name: str, sources: Sequence[Path]) -> Path:
    """Where what these files make is, or will be: one folder per content, so that changed files are made anew."""
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in sources)).hexdigest()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "zhice" / f"{name}-{digest[:12]}"


def _java_command(jars: Path, heap_mb: int) -> list[str]:
    options = [f"-Xmx{heap_mb}m", "-XX:+UseSerialGC", "-Djava.awt.headless=true"]
    return [
        _absolute("java"),
        *options,
        f"-Dlog4j2.configurationFile={DEPLOY / 'log4j2.properties'}",
        "-cp",
        f"{jars}/*",
    ]


def java_version() -> str:
    """Of `java`, such as 17.0.15; empty if there is none."""
    java = shutil.which("java")
    return _version_of(java) if java else ""


@cache
def _version_of(java: str) -> str:
    said = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    found = re.search(r'version "(\d[^"]*)"', said)
    return found[1] if found else ""


def _write_properties(file: Path, properties: Mapping[str, str]) -> None:
    file.write_text("".join(f"{name}={value}\n" for name, value in properties.items()))


def _new_id() -> str:
    """A random id in Kafka's form; its first byte keeps it from starting with `-`, as an option does."""
    return urlsafe_b64encode(b"Z" + os.urandom(15)).decode()[:22]


def _absolute(program: str) -> str:
    return shutil.which(program) or program


def run_to_end(command: Sequence[str], timeout_s: float, doing: str) -> None:
    """Run to the end. Raises BrokerError with the end of the output on failure."""
    try:
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=timeout_s, check=False
        )
    except subprocess.TimeoutExpired:
        raise BrokerError(f"{doing} took more than {timeout_s} s") from None
    if done.returncode:
        raise BrokerError(f"{doing} failed:\n{done.stdout[-2000:].strip()}")

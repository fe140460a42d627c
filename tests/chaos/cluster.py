"""A cluster of Apache Kafka, any node of which may die."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Self

from streams.broker import free_port
from streams.kafka_broker import ApacheKafka


class KafkaCluster:
    """Nodes that are all broker and controller, so that any one of them may die. A context manager."""

    def __init__(self, nodes: int = 3, *, heap_mb: int = 512, properties: dict[str, str] | None = None) -> None:
        shared = (properties or {}) | {
            "offsets.topic.replication.factor": str(nodes),
            "transaction.state.log.replication.factor": str(nodes),
            "transaction.state.log.min.isr": str(nodes // 2 + 1),
            "min.insync.replicas": str(nodes // 2 + 1),
        }
        self.nodes = [ApacheKafka(node_id=number + 1, properties=shared, heap_mb=heap_mb) for number in range(nodes)]

    @property
    def address(self) -> str:
        """Of all nodes, for clients' `bootstrap_servers`."""
        return ",".join(node.address for node in self.nodes)

    def __enter__(self) -> Self:
        """Start all nodes; none is ready before most are there. Raises BrokerError."""
        ports: list[int] = []
        for node in self.nodes:
            node._controller_port = free_port(besides=ports)
            ports.append(node._controller_port)
        for node in self.nodes:
            node.cluster_id, node._voters = self.nodes[0].cluster_id, ",".join(one.voter for one in self.nodes)
        try:
            for node in self.nodes:
                self._launch(node, ports)
            for node in self.nodes:
                node._wait_until_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop all nodes and delete what they wrote."""
        for node in self.nodes:
            node.kill()
            node.stop()

    @staticmethod
    def _launch(node: ApacheKafka, ports: list[int]) -> None:
        node.folder = Path(tempfile.mkdtemp(prefix="zhice-broker-"))
        node.port = free_port(besides=ports)
        ports.append(node.port)
        command = node._command()
        ports.append(node._internal_port)
        node._launch(command)

"""The job as a Bytewax dataflow: Kafka in and out, a stateful step by customer, snapshots to a recovery store.

Its sources end at the end of the log, so that the last epoch is committed before the process ends.
"""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import bytewax.operators as op
import orjson
from bytewax.connectors.kafka import KafkaSinkMessage, KafkaSourceMessage
from bytewax.connectors.kafka import operators as kop
from bytewax.dataflow import Dataflow
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.run import cli_main
from customer import State, new_customer, update
from first import First

EPOCH = timedelta(seconds=10)  # as `python -m bytewax.run` has it
brokers = [os.environ["BENCH_BROKER"]]
first = First()


def parse(message: KafkaSourceMessage[bytes, bytes]) -> tuple[str, dict[str, Any]]:
    first.seen()
    return message.key.decode(), orjson.loads(message.value)


def work(state: State | None, event: dict[str, Any]) -> tuple[State, list[dict[str, Any]]]:
    state = state or new_customer()
    trigger = update(state, event)
    return state, [trigger] if trigger else []


def encode(trigger: tuple[str, dict[str, Any]]) -> KafkaSinkMessage[bytes, bytes]:
    return KafkaSinkMessage(key=trigger[0].encode(), value=orjson.dumps(trigger[1]))


flow = Dataflow("comparison")
messages = kop.input("events", flow, brokers=brokers, topics=[os.environ["BENCH_EVENTS"]], tail=False)
events = op.map("parse", messages.oks, parse)
triggers = op.stateful_flat_map("customer", events, work)
kop.output("triggers", op.map("encode", triggers, encode), brokers=brokers, topic=os.environ["BENCH_TRIGGERS"])

if __name__ == "__main__":
    folder = Path(os.environ["BENCH_FOLDER"])
    init_db_dir(folder, 1)
    cli_main(flow, epoch_interval=EPOCH, recovery_config=RecoveryConfig(folder))

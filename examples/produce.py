"""An event producer: send an event, and read what Zhice rejected."""

import json
import os
import time
import uuid

from kafka import KafkaConsumer, KafkaProducer

BROKER = os.environ.get("ZHICE_BROKER", "127.0.0.1:9092")

event = {
    "event_id": str(uuid.uuid4()),  # unique: sent again among the customer's last 16 events, it counts once
    "event": "complaint",
    "customer_id": "C00000042",
    "event_time": time.time_ns() // 1_000_000,  # ms since the epoch, UTC
    "channel": "app",
    "properties": {"topic": "transfer", "severity": 2},
}
broken = {**event, "event_id": str(uuid.uuid4()), "event_time": "yesterday"}

producer = KafkaProducer(bootstrap_servers=BROKER, enable_idempotence=False)  # the embedded broker has no idempotence
for value in (event, broken):
    producer.send("zhice.events", key=value["customer_id"].encode(), value=json.dumps(value).encode())
producer.close()  # sends what is waiting

rejected = KafkaConsumer(
    "zhice.bad-rows", bootstrap_servers=BROKER, auto_offset_reset="earliest", consumer_timeout_ms=10_000
)
for record in rejected:
    row = json.loads(record.value)
    print(f"rejected: {row['reason']} {row['field']}: {row['detail']} (offset {row['offset']})")
    break  # one is enough here
rejected.close()

"""A trigger consumer: act on each trigger once, while it is of use, until Ctrl-C."""

import json
import os
import time

from kafka import KafkaConsumer

BROKER = os.environ.get("ZHICE_BROKER", "127.0.0.1:9092")

consumer = KafkaConsumer(
    "zhice.triggers",
    bootstrap_servers=BROKER,
    group_id="remote_bank_desk",
    auto_offset_reset="earliest",
    enable_auto_commit=False,
    session_timeout_ms=6_000,
    max_poll_interval_ms=6_000,  # the embedded broker lets a new member wait for half of it
)
seen = set()  # in production a table with a unique key: it must outlive this process
for record in consumer:
    ce_id = dict(record.headers)["ce_id"].decode()
    trigger = json.loads(record.value)
    if ce_id not in seen and trigger["expires_at"] > time.time() * 1000:
        print(
            f"{trigger['channel']}: {trigger['action']} for {trigger['customer_id']}, rule {trigger['rule']}",
            flush=True,
        )
        print(f"  because of {trigger['evidence']}", flush=True)
    seen.add(ce_id)
    consumer.commit()  # after the action: a crash repeats the trigger, and ce_id tells

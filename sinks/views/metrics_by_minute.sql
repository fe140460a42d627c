-- Events, customers and amount by minute, event type and channel. A customer is in one partition, so that counts
-- add up; one whose event came in a later clock minute is counted again.
-- needs: metrics
SELECT event_minute AS minute, event, channel, sum(events)::BIGINT AS events, sum(customers)::BIGINT AS customers,
       sum(amount) AS amount
FROM metrics
GROUP BY minute, event, channel
ORDER BY minute, event, channel

-- Snapshots by the day that they are of. One of an hour is what was known before that hour, so that of midnight is of the day
-- that ended then; unless the log ends at that very instant, with an event that the snapshot has seen.
-- needs: features, events
WITH midnights AS (SELECT DISTINCT partition, as_of, "offset" FROM features WHERE as_of = day::TIMESTAMPTZ),
ended AS (
    SELECT partition, as_of, "offset", 1 AS days
    FROM midnights
    WHERE NOT EXISTS (
        SELECT 1
        FROM events
        WHERE events.partition = midnights.partition AND record_time = as_of AND events."offset" < midnights."offset"
    )
)
SELECT features.* REPLACE (day - coalesce(ended.days, 0) AS day)
FROM features LEFT JOIN ended USING (partition, as_of, "offset")

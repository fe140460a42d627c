-- Snapshots by the day that they are of. One of an hour is what was known before that hour, so that of midnight is of the day
-- that ended then; unless the log ends at that very instant, with an event that the snapshot has seen. A day ends where the
-- instant before is of another one, for clocks that are set back may show 00:00 twice, and others never do.
-- needs: features, events
WITH midnights AS (
    SELECT DISTINCT partition, as_of, "offset", (as_of - INTERVAL 1 MICROSECOND)::DATE AS ended
    FROM features
    WHERE (as_of - INTERVAL 1 MICROSECOND)::DATE < day
),
days AS (
    SELECT partition, as_of, "offset", ended
    FROM midnights
    WHERE NOT EXISTS (
        SELECT 1
        FROM events
        WHERE events.partition = midnights.partition AND record_time = as_of AND events."offset" < midnights."offset"
    )
)
SELECT features.* REPLACE (coalesce(days.ended, day) AS day)
FROM features LEFT JOIN days USING (partition, as_of, "offset")

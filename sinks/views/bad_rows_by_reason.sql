-- Bad rows by reason and field.
-- needs: bad_rows
SELECT reason, field, count(*) AS records, min(record_time) AS first_seen, max(record_time) AS last_seen
FROM bad_rows
GROUP BY reason, field
ORDER BY records DESC, reason, field

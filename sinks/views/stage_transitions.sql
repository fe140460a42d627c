-- Transitions between stages, with the time spent in the stage that was left.
-- needs: transitions
SELECT journey, from_stage, to_stage, cause, count(*) AS transitions,
       count(DISTINCT (customer_id, entity_id)) AS entities,
       median(time_in_stage_ms) / 60000 AS median_minutes,
       quantile_cont(time_in_stage_ms, 0.9) / 60000 AS p90_minutes
FROM transitions
GROUP BY journey, from_stage, to_stage, cause
ORDER BY journey, transitions DESC, from_stage, to_stage

-- What triggers met with, by rule and channel: the share of triggers with each outcome, by the trigger's id.
-- needs: triggers, events
WITH outcomes AS (
    SELECT DISTINCT properties ->> 'trigger_id' AS id, event AS outcome
    FROM events
    WHERE event IN ('delivered', 'exposed', 'clicked', 'dismissed', 'converted', 'opted_out') AND status = 'applied'
)
SELECT rule, channel, count(DISTINCT id) AS triggers,
       count(*) FILTER (outcome = 'delivered') / count(DISTINCT id) AS delivered,
       count(*) FILTER (outcome = 'exposed') / count(DISTINCT id) AS exposed,
       count(*) FILTER (outcome = 'clicked') / count(DISTINCT id) AS clicked,
       count(*) FILTER (outcome = 'dismissed') / count(DISTINCT id) AS dismissed,
       count(*) FILTER (outcome = 'converted') / count(DISTINCT id) AS converted,
       count(*) FILTER (outcome = 'opted_out') / count(DISTINCT id) AS opted_out
FROM triggers LEFT JOIN outcomes USING (id)
GROUP BY rule, channel
ORDER BY triggers DESC, rule

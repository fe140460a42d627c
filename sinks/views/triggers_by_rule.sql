-- Decisions by rule and channel: how many acted, for how many customers, and which gates stopped the others.
-- needs: decisions
SELECT rule, channel, count(*) AS candidates, count(*) FILTER (acted) AS triggers,
       count(DISTINCT customer_id) FILTER (acted) AS customers,
       count(*) FILTER (NOT acted) AS stopped,
       string_agg(DISTINCT gate, ', ' ORDER BY gate) FILTER (NOT acted) AS stopped_by
FROM decisions
GROUP BY rule, channel
ORDER BY triggers DESC, rule

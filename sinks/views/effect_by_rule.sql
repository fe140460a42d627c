-- Effect of each rule by intention to treat: of the customers whom it acted on, and of those whom a holdout alone kept back,
-- how many reached the rule's goal in its time. Each customer counts once a rule, from their first such decision on;
-- decisions whose time is not over when the lake ends are left out.
-- needs: decisions, events
WITH firsts AS (
    SELECT rule, customer_id, goals.event AS goal, min(decided_at) AS decided_at, min(decided_at) + any_value(within) AS until,
           bool_or(NOT acted) AS held_out
    FROM decisions JOIN goals USING (rule)
    WHERE acted OR gate IN (SELECT name FROM holdouts)
    GROUP BY rule, customer_id, goals.event
),
whole AS (SELECT * FROM firsts WHERE until <= (SELECT max(event_time) FROM events)),
goal_events AS (
    SELECT customer_id, event AS goal, event_time FROM events WHERE status = 'applied' AND event IN (SELECT event FROM goals)
),
reached AS (
    SELECT DISTINCT rule, customer_id
    FROM whole JOIN goal_events USING (customer_id, goal)
    WHERE event_time > decided_at AND event_time <= until
)
SELECT whole.rule, goal,
       count(*) FILTER (NOT held_out) AS treated,
       count(reached.customer_id) FILTER (NOT held_out) AS treated_reached,
       count(*) FILTER (held_out) AS held_out,
       count(reached.customer_id) FILTER (held_out) AS held_out_reached
FROM whole LEFT JOIN reached ON reached.rule = whole.rule AND reached.customer_id = whole.customer_id
GROUP BY whole.rule, goal
ORDER BY treated DESC, whole.rule

-- Retention: of the customers who came for the first time on a day, the share that came again 1, 7 and 30 days later.
-- needs: events
WITH visitors AS (
    SELECT customer_id, min(day) AS cohort, list(day) AS days
    FROM events
    WHERE event = 'app_start' AND status = 'applied'
    GROUP BY customer_id
)
SELECT cohort, count(*) AS customers,
       count(*) FILTER (list_contains(days, cohort + 1)) / count(*) AS day_1,
       count(*) FILTER (list_contains(days, cohort + 7)) / count(*) AS day_7,
       count(*) FILTER (list_contains(days, cohort + 30)) / count(*) AS day_30
FROM visitors
GROUP BY cohort
ORDER BY cohort

-- Retention: of the customers who came for the first time on a day, the share that came again 1, 7 and 30 days later.
-- needs: events
WITH visits AS (
    SELECT DISTINCT customer_id, day FROM events WHERE event = 'app_start' AND status = 'applied'
),
first_visit AS (SELECT customer_id, min(day) AS cohort FROM visits GROUP BY customer_id)
SELECT cohort, count(DISTINCT customer_id) AS customers,
       count(*) FILTER (day = cohort + 1) / count(DISTINCT customer_id) AS day_1,
       count(*) FILTER (day = cohort + 7) / count(DISTINCT customer_id) AS day_7,
       count(*) FILTER (day = cohort + 30) / count(DISTINCT customer_id) AS day_30
FROM visits JOIN first_visit USING (customer_id)
GROUP BY cohort
ORDER BY cohort

-- MAU: customers with an app_start in the month.
-- needs: events
SELECT date_trunc('month', day)::DATE AS month, count(DISTINCT customer_id) AS mau
FROM events
WHERE event = 'app_start' AND status = 'applied'
GROUP BY month
ORDER BY month

-- Churn as of the lake's last day: customers without an event for 60 days, or whose AUM is below half of what it was 60 days ago.
-- needs: events, features.aum double
WITH today AS (SELECT max(day) AS day FROM events),
seen AS (SELECT customer_id, max(day) AS last_day FROM events WHERE status = 'applied' GROUP BY customer_id),
assets AS (
    SELECT customer_id, arg_max(aum, (as_of, "offset")) AS aum,
           arg_max(aum, (as_of, "offset")) FILTER (day <= (SELECT day FROM today) - 60) AS aum_before
    FROM snapshots
    WHERE entity = 'customer' AND aum IS NOT NULL
    GROUP BY customer_id
),
judged AS (
    SELECT last_day <= (SELECT day FROM today) - 60 AS inactive, coalesce(aum < aum_before / 2, false) AS halved
    FROM seen LEFT JOIN assets USING (customer_id)
)
SELECT (SELECT day FROM today) AS day, count(*) AS customers,
       count(*) FILTER (inactive) AS inactive_60d, count(*) FILTER (halved) AS aum_halved,
       count(*) FILTER (inactive OR halved) / count(*) AS churned
FROM judged

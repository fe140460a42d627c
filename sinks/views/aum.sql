-- AUM by tier and day: each customer's last known AUM of the day, carried forward from the day it was last seen.
-- needs: features.aum double, features.aum_tier, events
WITH seen AS (
    SELECT customer_id, day, aum, aum_tier
    FROM snapshots
    WHERE entity = 'customer' AND aum IS NOT NULL
    QUALIFY row_number() OVER (PARTITION BY customer_id, day ORDER BY as_of DESC, "offset" DESC) = 1
),
known AS (
    SELECT *, lead(day, 1, (SELECT max(day) + 1 FROM seen)) OVER (PARTITION BY customer_id ORDER BY day) AS until
    FROM seen
),
days AS (SELECT DISTINCT day FROM seen)
SELECT days.day, aum_tier, count(*) AS customers, sum(aum) AS aum, avg(aum) AS average_aum
FROM days JOIN known ON days.day >= known.day AND days.day < known.until
GROUP BY days.day, aum_tier
ORDER BY days.day, aum_tier

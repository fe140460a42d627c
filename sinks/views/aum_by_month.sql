-- AUM by month and tier: the average over the month's days.
-- needs: features.aum double, features.aum_tier, events
SELECT date_trunc('month', day)::DATE AS month, aum_tier, avg(customers) AS customers, avg(aum) AS daily_average_aum
FROM aum
GROUP BY month, aum_tier
ORDER BY month, aum_tier

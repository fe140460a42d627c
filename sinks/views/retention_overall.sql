-- Retention over all cohorts: of the customers who came for the first time so long before the lake's last day, the share that
-- came again 1, 7 and 30 days later.
-- needs: events
SELECT sum(customers)::BIGINT AS customers,
       sum(day_1 * customers) FILTER (cohort + 1 <= today) / sum(customers) FILTER (cohort + 1 <= today) AS day_1,
       sum(day_7 * customers) FILTER (cohort + 7 <= today) / sum(customers) FILTER (cohort + 7 <= today) AS day_7,
       sum(day_30 * customers) FILTER (cohort + 30 <= today) / sum(customers) FILTER (cohort + 30 <= today) AS day_30
FROM retention, (SELECT max(day) AS today FROM events)

-- Reach and pressure by channel, marketing only: who was reached, how often, and what shares of candidates a contact limit
-- and a holdout stopped.
-- needs: decisions
SELECT channel, count(*) AS candidates,
       count(*) FILTER (acted) AS contacts,
       count(DISTINCT customer_id) FILTER (acted) AS customers,
       count(*) FILTER (acted) / nullif(count(DISTINCT customer_id) FILTER (acted), 0) AS contacts_a_customer,
       count(*) FILTER (gate IN (SELECT name FROM contact_limits)) / count(*) AS capped,
       count(*) FILTER (gate IN (SELECT name FROM holdouts)) / count(*) AS held_out
FROM decisions
WHERE kind = 'marketing'
GROUP BY channel
ORDER BY contacts DESC, channel

-- The latest snapshot of every entity.
-- needs: features
SELECT * EXCLUDE (day)
FROM features
QUALIFY row_number() OVER (PARTITION BY entity, customer_id, entity_id ORDER BY as_of DESC, "offset" DESC) = 1

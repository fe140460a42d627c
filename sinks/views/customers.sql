-- The latest snapshot of every customer.
-- needs: features
SELECT * EXCLUDE (entity, entity_id) FROM latest_features WHERE entity = 'customer'

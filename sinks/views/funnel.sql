-- Funnel of each journey: entities that ever entered each stage, as a share of all that began it.
-- An entity's stages are bits of a number: entities are told apart once, not once a stage.
-- needs: transitions
WITH entities AS (
    SELECT transitions.journey, customer_id, entity_id, coalesce(bit_or(1::UBIGINT << number::UBIGINT), 0) AS entered
    FROM transitions LEFT JOIN stages ON stages.journey = transitions.journey AND stage = to_stage
    GROUP BY transitions.journey, customer_id, entity_id
),
alike AS (SELECT journey, entered, count(*) AS entities FROM entities GROUP BY journey, entered)
SELECT stages.journey, number, stage,
       coalesce(sum(entities) FILTER (entered & (1::UBIGINT << number::UBIGINT) > 0), 0)::BIGINT AS entities,
       coalesce(sum(entities) FILTER (entered & (1::UBIGINT << number::UBIGINT) > 0), 0) / sum(entities) AS share
FROM stages JOIN alike USING (journey)
GROUP BY stages.journey, number, stage
ORDER BY stages.journey, number

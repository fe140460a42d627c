-- Funnel of each journey: entities that ever entered each stage, as a share of all that began it.
-- needs: transitions
WITH reached AS (
    SELECT journey, to_stage AS stage, count(DISTINCT (customer_id, entity_id)) AS entities
    FROM transitions
    GROUP BY journey, to_stage
),
begun AS (
    SELECT journey, count(DISTINCT (customer_id, entity_id)) AS entities FROM transitions GROUP BY journey
)
SELECT stages.journey, stages.number, stages.stage, coalesce(reached.entities, 0) AS entities,
       coalesce(reached.entities, 0) / begun.entities AS share
FROM stages
JOIN begun USING (journey)
LEFT JOIN reached USING (journey, stage)
ORDER BY stages.journey, stages.number

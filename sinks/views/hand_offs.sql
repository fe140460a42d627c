-- Hand-off continuity: triggers about an instance of a journey hand it to a channel. Resumed: the instance went on by an event
-- in the goal's time; there: the first such event came from the channel that it was handed to (push, SMS and in-app lead
-- into the app).
-- needs: triggers, transitions, events
WITH hand_offs AS (
    SELECT id, triggers.rule, channel, customer_id, entity, entity_id, decided_at, decided_at + within AS until
    FROM triggers JOIN goals USING (rule)
    WHERE entity_id IS NOT NULL
),
moves AS (
    SELECT transitions.customer_id, entity, entity_id, entered_at, events.channel
    FROM transitions JOIN events USING (partition, "offset")
    WHERE cause = 'event' AND entity_id IS NOT NULL
),
resumed AS (
    SELECT id, arg_min(moves.channel, entered_at) AS came_by
    FROM hand_offs JOIN moves USING (customer_id, entity, entity_id)
    WHERE entered_at > decided_at AND entered_at <= until
    GROUP BY id
)
SELECT rule, channel, count(*) AS hand_offs,
       count(resumed.id) / count(*) AS resumed,
       count(*) FILTER (came_by = channel OR channel IN ('push', 'sms', 'in_app') AND came_by IN ('app', 'mini_program'))
           / count(*) AS resumed_there
FROM hand_offs LEFT JOIN resumed USING (id)
GROUP BY rule, channel
ORDER BY hand_offs DESC, rule

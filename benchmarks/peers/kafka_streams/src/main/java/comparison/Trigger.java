package comparison;

import com.fasterxml.jackson.annotation.JsonProperty;
import java.util.Map;

/** What is published. */
record Trigger(
        @JsonProperty("customer_id") String customerId,
        @JsonProperty("event_id") String eventId,
        @JsonProperty("event_time") long eventTime,
        @JsonProperty("counts") Map<EventType, Integer> counts,
        @JsonProperty("amount") long amount,
        @JsonProperty("stage") Stage stage) {}

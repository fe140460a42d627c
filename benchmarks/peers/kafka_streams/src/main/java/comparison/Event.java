package comparison;

import com.fasterxml.jackson.annotation.JsonIgnoreProperties;
import com.fasterxml.jackson.annotation.JsonProperty;

/** What the job reads of an event. */
@JsonIgnoreProperties(ignoreUnknown = true)
record Event(
        @JsonProperty("event_id") String eventId,
        @JsonProperty("event") EventType type,
        @JsonProperty("customer_id") String customerId,
        @JsonProperty("event_time") long eventTime,
        @JsonProperty("properties") Properties properties) {

    @JsonIgnoreProperties(ignoreUnknown = true)
    record Properties(@JsonProperty("amount") Long amount) {}
}

package comparison;

import com.fasterxml.jackson.annotation.JsonIgnoreProperties;
import com.fasterxml.jackson.annotation.JsonProperty;

/** What the job reads of an event; a POJO as Flink serializes them. */
@JsonIgnoreProperties(ignoreUnknown = true)
public class Event {
    @JsonProperty("event_id")
    public String eventId;

    @JsonProperty("event")
    public String type;

    @JsonProperty("customer_id")
    public String customerId;

    @JsonProperty("event_time")
    public long eventTime;

    public long amount;

    @JsonProperty("properties")
    void setProperties(Properties properties) {
        amount = properties.amount;
    }

    /** Those that the job reads. */
    @JsonIgnoreProperties(ignoreUnknown = true)
    static class Properties {
        @JsonProperty("amount")
        long amount;
    }
}

package comparison;

import com.fasterxml.jackson.annotation.JsonProperty;
import java.util.Map;

/** What is published. */
public class Trigger {
    @JsonProperty("customer_id")
    public String customerId;

    @JsonProperty("event_id")
    public String eventId;

    @JsonProperty("event_time")
    public long eventTime;

    public Map<String, Integer> counts;
    public long amount;
    public String stage;
}

package comparison;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import org.apache.flink.api.common.serialization.SerializationSchema;

/** Triggers to JSON, by Jackson. */
final class TriggerSchema implements SerializationSchema<Trigger> {
    private static final long serialVersionUID = 1L;

    private transient ObjectMapper mapper;

    @Override
    public void open(InitializationContext context) {
        mapper = new ObjectMapper();
    }

    @Override
    public byte[] serialize(Trigger trigger) {
        try {
            return mapper.writeValueAsBytes(trigger);
        } catch (JsonProcessingException error) {
            throw new IllegalArgumentException(error);
        }
    }
}

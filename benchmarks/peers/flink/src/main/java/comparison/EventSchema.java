package comparison;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.ObjectReader;
import java.io.IOException;
import java.util.Locale;
import org.apache.flink.api.common.serialization.AbstractDeserializationSchema;

/** Events from JSON, by Jackson. */
final class EventSchema extends AbstractDeserializationSchema<Event> {
    private static final long serialVersionUID = 1L;

    private transient ObjectReader reader;
    private transient boolean seen;

    EventSchema() {
        super(Event.class);
    }

    @Override
    public void open(InitializationContext context) {
        reader = new ObjectMapper().readerFor(Event.class);
    }

    @Override
    public Event deserialize(byte[] value) throws IOException {
        if (!seen) {
            seen = true;
            System.out.printf(Locale.ROOT, "first record %.3f%n", System.currentTimeMillis() / 1000.0);
        }
        return reader.readValue(value);
    }
}

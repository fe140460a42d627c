package comparison;

import java.util.Locale;
import java.util.Set;
import java.util.concurrent.atomic.AtomicBoolean;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.processor.api.ContextualFixedKeyProcessor;
import org.apache.kafka.streams.processor.api.FixedKeyProcessor;
import org.apache.kafka.streams.processor.api.FixedKeyProcessorContext;
import org.apache.kafka.streams.processor.api.FixedKeyProcessorSupplier;
import org.apache.kafka.streams.processor.api.FixedKeyRecord;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.StoreBuilder;
import org.apache.kafka.streams.state.Stores;

/** Reads a customer from the store, lets it take the event, puts it back, and forwards a trigger if there is one. */
final class CustomerProcessor extends ContextualFixedKeyProcessor<String, Event, Trigger> {
    private static final String STORE = "customers";
    private static final AtomicBoolean WAITS = new AtomicBoolean(true);

    private KeyValueStore<String, Customer> customers;

    /** With its store: RocksDB, the cache that the DSL's stores have by default, and a changelog topic. */
    static final class Supplier implements FixedKeyProcessorSupplier<String, Event, Trigger> {
        @Override
        public FixedKeyProcessor<String, Event, Trigger> get() {
            return new CustomerProcessor();
        }

        @Override
        public Set<StoreBuilder<?>> stores() {
            return Set.of(Stores.keyValueStoreBuilder(
                            Stores.persistentKeyValueStore(STORE), Serdes.String(), CustomerSerde.serde())
                    .withCachingEnabled());
        }
    }

    @Override
    public void init(FixedKeyProcessorContext<String, Trigger> context) {
        super.init(context);
        customers = context.getStateStore(STORE);
    }

    @Override
    public void process(FixedKeyRecord<String, Event> record) {
        if (WAITS.get() && WAITS.getAndSet(false)) {
            System.out.printf(Locale.ROOT, "first record %.3f%n", System.currentTimeMillis() / 1000.0);
        }
        Customer customer = customers.get(record.key());
        if (customer == null) {
            customer = new Customer();
        }
        Trigger trigger = customer.update(record.value());
        customers.put(record.key(), customer);
        if (trigger != null) {
            context().forward(record.withValue(trigger));
        }
    }
}

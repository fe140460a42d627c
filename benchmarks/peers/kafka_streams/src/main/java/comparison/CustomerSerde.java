package comparison;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.EnumMap;
import java.util.Map;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;

/** A customer in few bytes, as it is kept in RocksDB and in the changelog topic. */
final class CustomerSerde {
    private CustomerSerde() {}

    static Serde<Customer> serde() {
        return Serdes.serdeFrom((topic, customer) -> write(customer), (topic, bytes) -> read(bytes));
    }

    private static byte[] write(Customer customer) {
        if (customer == null) {
            return null;
        }
        ByteArrayOutputStream bytes = new ByteArrayOutputStream(128);
        try (DataOutputStream out = new DataOutputStream(bytes)) {
            out.writeByte(customer.stage.ordinal());
            out.writeByte(customer.days.size());
            for (Map.Entry<Long, Map<EventType, Integer>> tile : customer.days.entrySet()) {
                out.writeInt(tile.getKey().intValue());
                out.writeByte(tile.getValue().size());
                for (Map.Entry<EventType, Integer> one : tile.getValue().entrySet()) {
                    out.writeByte(one.getKey().ordinal());
                    out.writeInt(one.getValue());
                }
            }
            out.writeByte(customer.hours.size());
            for (Map.Entry<Long, Long> tile : customer.hours.entrySet()) {
                out.writeInt(tile.getKey().intValue());
                out.writeLong(tile.getValue());
            }
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
        return bytes.toByteArray();
    }

    private static Customer read(byte[] bytes) {
        if (bytes == null) {
            return null;
        }
        Customer customer = new Customer();
        try (DataInputStream in = new DataInputStream(new ByteArrayInputStream(bytes))) {
            customer.stage = Stage.ALL[in.readByte()];
            for (int tiles = in.readByte(); tiles > 0; tiles--) {
                long day = in.readInt();
                Map<EventType, Integer> counts = new EnumMap<>(EventType.class);
                for (int types = in.readByte(); types > 0; types--) {
                    counts.put(EventType.ALL[in.readByte()], in.readInt());
                }
                customer.days.put(day, counts);
            }
            for (int tiles = in.readByte(); tiles > 0; tiles--) {
                customer.hours.put((long) in.readInt(), in.readLong());
            }
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
        return customer;
    }
}

package comparison;

import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Produced;

/** The job with Kafka Streams, in BENCH_THREADS stream threads; until SIGTERM. */
public final class Comparison {
    private Comparison() {}

    public static void main(String[] arguments) throws InterruptedException {
        StreamsBuilder builder = new StreamsBuilder();
        builder.stream(given("EVENTS"), Consumed.with(Serdes.String(), JsonSerde.of(Event.class)))
                .processValues(new CustomerProcessor.Supplier())
                .to(given("TRIGGERS"), Produced.with(Serdes.String(), JsonSerde.of(Trigger.class)));
        KafkaStreams streams = new KafkaStreams(builder.build(), settings());
        CountDownLatch stopped = new CountDownLatch(1);
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            streams.close();
            stopped.countDown();
        }));
        streams.start();
        stopped.await();
    }

    private static Properties settings() {
        Properties settings = new Properties();
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, given("GROUP"));
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, given("BROKER"));
        settings.put(StreamsConfig.STATE_DIR_CONFIG, given("FOLDER"));
        settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, given("THREADS"));
        settings.put(StreamsConfig.consumerPrefix(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG), "earliest");
        return settings;
    }

    private static String given(String name) {
        return System.getenv("BENCH_" + name);
    }
}

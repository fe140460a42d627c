package comparison;

import java.nio.charset.StandardCharsets;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.connector.base.DeliveryGuarantee;
import org.apache.flink.connector.kafka.sink.KafkaRecordSerializationSchema;
import org.apache.flink.connector.kafka.sink.KafkaSink;
import org.apache.flink.connector.kafka.source.KafkaSource;
import org.apache.flink.connector.kafka.source.enumerator.initializer.OffsetsInitializer;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;

/**
 * The job with Flink's DataStream API in one process, parallelism 1: keyed state in the default backend, a checkpoint every
 * 10 s. It ends at the end of the log, after a last checkpoint.
 */
public final class Comparison {
    private Comparison() {}

    public static void main(String[] arguments) throws Exception {
        StreamExecutionEnvironment environment = StreamExecutionEnvironment.createLocalEnvironment(1, settings());
        environment
                .fromSource(source(), WatermarkStrategy.noWatermarks(), "events")
                .keyBy(event -> event.customerId)
                .process(new CustomerFunction())
                .sinkTo(sink());
        environment.execute("comparison");
    }

    private static Configuration settings() {
        Configuration settings = new Configuration();
        settings.setString("execution.checkpointing.interval", "10 s");
        settings.setString("execution.checkpointing.storage", "filesystem");
        settings.setString("execution.checkpointing.dir", "file://" + given("FOLDER"));
        return settings;
    }

    private static KafkaSource<Event> source() {
        return KafkaSource.<Event>builder()
                .setBootstrapServers(given("BROKER"))
                .setTopics(given("EVENTS"))
                .setGroupId(given("GROUP"))
                .setStartingOffsets(OffsetsInitializer.earliest())
                .setBounded(OffsetsInitializer.latest())
                .setValueOnlyDeserializer(new EventSchema())
                .build();
    }

    private static KafkaSink<Trigger> sink() {
        return KafkaSink.<Trigger>builder()
                .setBootstrapServers(given("BROKER"))
                .setDeliveryGuarantee(DeliveryGuarantee.AT_LEAST_ONCE)
                .setRecordSerializer(KafkaRecordSerializationSchema.<Trigger>builder()
                        .setTopic(given("TRIGGERS"))
                        .setKeySerializationSchema(trigger -> trigger.customerId.getBytes(StandardCharsets.UTF_8))
                        .setValueSerializationSchema(new TriggerSchema())
                        .build())
                .build();
    }

    private static String given(String name) {
        return System.getenv("BENCH_" + name);
    }
}

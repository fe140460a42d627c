package comparison;

import java.util.EnumMap;
import java.util.Map;
import java.util.TreeMap;

/** The state of a customer: tiles of days and of hours, and the stage of the journey. */
final class Customer {
    private static final long DAY_MS = 86_400_000L;
    private static final long HOUR_MS = 3_600_000L;
    private static final int DAYS = 7;
    private static final int HOURS = 24;

    final TreeMap<Long, Map<EventType, Integer>> days = new TreeMap<>();
    final TreeMap<Long, Long> hours = new TreeMap<>();
    Stage stage = Stage.browse;

    /** Takes an event; returns a trigger if the rule holds after it, else null. */
    Trigger update(Event event) {
        long day = event.eventTime() / DAY_MS;
        long hour = event.eventTime() / HOUR_MS;
        days.headMap(day - DAYS, true).clear();
        days.computeIfAbsent(day, unused -> new EnumMap<>(EventType.class)).merge(event.type(), 1, Integer::sum);
        hours.headMap(hour - HOURS, true).clear();
        if (event.properties().amount() != null) {
            hours.merge(hour, event.properties().amount(), Long::sum);
        }
        stage = stage.after(event.type());
        return event.type().isListenedTo() && stage.isOpen() ? trigger(event) : null;
    }

    private Trigger trigger(Event event) {
        long amount = hours.values().stream().mapToLong(Long::longValue).sum();
        if (amount < 50_000) {
            return null;
        }
        Map<EventType, Integer> counts = new EnumMap<>(EventType.class);
        int all = 0;
        for (Map<EventType, Integer> tile : days.values()) {
            for (Map.Entry<EventType, Integer> one : tile.entrySet()) {
                counts.merge(one.getKey(), one.getValue(), Integer::sum);
                all += one.getValue();
            }
        }
        return all < 5 ? null
                : new Trigger(event.customerId(), event.eventId(), event.eventTime(), counts, amount, stage);
    }
}

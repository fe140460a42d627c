package comparison;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.state.MapState;
import org.apache.flink.api.common.state.MapStateDescriptor;
import org.apache.flink.api.common.state.ValueState;
import org.apache.flink.api.common.state.ValueStateDescriptor;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.streaming.api.functions.KeyedProcessFunction;
import org.apache.flink.util.Collector;

/** A customer's state as keyed state: tiles of days and of hours, and the stage of the journey. */
final class CustomerFunction extends KeyedProcessFunction<String, Event, Trigger> {
    private static final long serialVersionUID = 1L;
    private static final long DAY_MS = 86_400_000L;
    private static final long HOUR_MS = 3_600_000L;
    private static final int DAYS = 7;
    private static final int HOURS = 24;
    private static final Set<String> LISTENS = Set.of("transfer_out", "bill_pay", "card_pay", "qr_pay");
    private static final Set<String> OPEN = Set.of("apply", "verify", "submit");

    private transient MapState<Long, Map<String, Integer>> days;
    private transient MapState<Long, Long> hours;
    private transient ValueState<String> stage;

    @Override
    public void open(OpenContext context) {
        days = getRuntimeContext()
                .getMapState(new MapStateDescriptor<>("days", Types.LONG, Types.MAP(Types.STRING, Types.INT)));
        hours = getRuntimeContext().getMapState(new MapStateDescriptor<>("hours", Types.LONG, Types.LONG));
        stage = getRuntimeContext().getState(new ValueStateDescriptor<>("stage", Types.STRING));
    }

    @Override
    public void processElement(Event event, Context context, Collector<Trigger> out) throws Exception {
        count(event.eventTime / DAY_MS, event.type);
        add(event.eventTime / HOUR_MS, event.amount);
        String now = move(event.type);
        if (LISTENS.contains(event.type) && OPEN.contains(now)) {
            consider(event, now, out);
        }
    }

    private void count(long day, String type) throws Exception {
        Map<String, Integer> tile = days.get(day);
        if (tile == null) {
            tile = new HashMap<>();
            remove(days, day - DAYS);
        }
        tile.merge(type, 1, Integer::sum);
        days.put(day, tile);
    }

    private void add(long hour, long amount) throws Exception {
        Long tile = hours.get(hour);
        if (tile == null) {
            remove(hours, hour - HOURS);
        }
        if (amount != 0) {
            hours.put(hour, (tile == null ? 0 : tile) + amount);
        }
    }

    /** Removes the tiles up to and including this one. */
    private static <T> void remove(MapState<Long, T> tiles, long last) throws Exception {
        List<Long> old = new ArrayList<>();
        for (Long tile : tiles.keys()) {
            if (tile <= last) {
                old.add(tile);
            }
        }
        for (Long tile : old) {
            tiles.remove(tile);
        }
    }

    private String move(String type) throws Exception {
        String from = stage.value() == null ? "browse" : stage.value();
        String to = switch (type) {
            case "loan_apply" -> from.equals("browse") || from.equals("drawn") ? "apply" : from;
            case "loan_verify" -> from.equals("apply") ? "verify" : from;
            case "loan_submit" -> from.equals("verify") ? "submit" : from;
            case "loan_approve" -> from.equals("submit") ? "approved" : from;
            case "loan_draw" -> from.equals("approved") ? "drawn" : from;
            default -> from;
        };
        if (!to.equals(stage.value())) {
            stage.update(to);
        }
        return to;
    }

    private void consider(Event event, String now, Collector<Trigger> out) throws Exception {
        long amount = 0;
        for (Long tile : hours.values()) {
            amount += tile;
        }
        Map<String, Integer> counts = new HashMap<>();
        for (Map<String, Integer> tile : days.values()) {
            tile.forEach((type, count) -> counts.merge(type, count, Integer::sum));
        }
        int all = counts.values().stream().mapToInt(Integer::intValue).sum();
        if (all < 5 || amount < 50_000) {
            return;
        }
        Trigger trigger = new Trigger();
        trigger.customerId = event.customerId;
        trigger.eventId = event.eventId;
        trigger.eventTime = event.eventTime;
        trigger.counts = counts;
        trigger.amount = amount;
        trigger.stage = now;
        out.collect(trigger);
    }
}

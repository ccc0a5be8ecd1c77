package stockctl.connect;

import java.util.HashMap;
import java.util.Map;
import org.apache.kafka.common.config.AbstractConfig;
import org.apache.kafka.common.config.ConfigDef;
import org.apache.kafka.connect.data.Schema;
import org.apache.kafka.connect.data.SchemaAndValue;
import org.apache.kafka.connect.errors.DataException;
import org.apache.kafka.connect.storage.Converter;

/**
 * Converts a Kafka record to its document in MongoDB, the same document that <code>stockctl consume mongo</code> writes.
 *
 * <p>An invalid record is rejected by a DataException with the reason, and goes to the dead letter queue.
 */
public final class RecordConverter implements Converter {

    private static final ConfigDef CONFIG =
            new ConfigDef()
                    .define("trades.topic", ConfigDef.Type.STRING, ConfigDef.Importance.HIGH, "The topic of trades")
                    .define("feed_events.topic", ConfigDef.Type.STRING, ConfigDef.Importance.HIGH, "The topic of feed events")
                    // Not in the configuration of a connector that an older version of stockctl made.
                    .define("signals.topic", ConfigDef.Type.STRING, null, ConfigDef.Importance.HIGH, "The topic of signals");

    private Map<String, RecordReader> readers = Map.of();

    @Override
    public ConfigDef config() {
        return CONFIG;
    }

    @Override
    public void configure(Map<String, ?> settings, boolean isKey) {
        AbstractConfig config = new AbstractConfig(CONFIG, settings);
        readers = new HashMap<>();
        readers.put(config.getString("trades.topic"), RecordReader.TRADES);
        readers.put(config.getString("feed_events.topic"), RecordReader.FEED_EVENTS);
        if (config.getString("signals.topic") != null) {
            readers.put(config.getString("signals.topic"), RecordReader.SIGNALS);
        }
    }

    @Override
    public SchemaAndValue toConnectData(String topic, byte[] value) {
        RecordReader reader = readers.get(topic);
        if (reader == null) {
            throw new DataException("the topic " + topic + " is not of trades, feed events or signals");
        }
        return new SchemaAndValue(null, reader.document(value));
    }

    @Override
    public byte[] fromConnectData(String topic, Schema schema, Object value) {
        throw new UnsupportedOperationException("records are only read");
    }
}

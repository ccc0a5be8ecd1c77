package stockctl.connect;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonFactoryBuilder;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.core.StreamReadConstraints;
import com.fasterxml.jackson.core.io.JsonEOFException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.util.Date;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.Map;
import org.apache.kafka.connect.errors.DataException;

/**
 * Reads records of one kind, as <code>stockctl/record_validation.py</code> does in Python.
 *
 * <p>A test compares the documents and error messages of the two: change both, or neither.
 */
final class RecordReader {

    private static final double MAX_MS = 253_370_764_800_000.0;
    /** 2^53 - 1: up to it a double holds each whole number. */
    private static final double MAX_COUNT = 9_007_199_254_740_991.0;
    private static final long AHEAD_MS = 7 * 86_400_000L;
    private static final int DEPTH = 64;
    private static final DateTimeFormatter TIME = DateTimeFormatter.ofPattern("uuuu-MM-dd HH:mm:ss").withZone(ZoneOffset.UTC);

    /** Strict JSON of any length: Jackson's default limits would reject records that other readers accept. */
    private static final JsonFactory JSON =
            new JsonFactoryBuilder()
                    .disable(JsonFactory.Feature.CANONICALIZE_FIELD_NAMES)
                    .streamReadConstraints(
                            StreamReadConstraints.builder()
                                    .maxNumberLength(Integer.MAX_VALUE)
                                    .maxStringLength(Integer.MAX_VALUE)
                                    .maxNameLength(Integer.MAX_VALUE)
                                    .build())
                    .build();

    static final RecordReader TRADES =
            new RecordReader(
                    text("id", 1, 1024),
                    text("symbol", 1, 64),
                    // The smallest number above 0.
                    number("price", Double.MIN_VALUE),
                    number("volume", 0),
                    time("ts_event"),
                    time("ts_recv"),
                    optional("conditions", 1024),
                    optional("updates", 16),
                    text("source", 1, 64));

    static final RecordReader FEED_EVENTS =
            new RecordReader(
                    text("id", 1, 1024),
                    text("kind", 1, 1024),
                    time("span_start"),
                    time("span_end"),
                    text("symbols", 0, Integer.MAX_VALUE),
                    text("reason", 0, 65_535),
                    text("connection", 0, 1024),
                    time("ts_recv"),
                    text("source", 1, 64));

    static final RecordReader SIGNALS =
            new RecordReader(
                    text("kind", 1, 1024),
                    text("id", 1, 1024),
                    text("symbol", 0, 64),
                    text("strategy", 1, 1024),
                    text("version", 1, 1024),
                    text("run", 1, 1024),
                    count("n", 0),
                    text("side", 0, 1024),
                    number("target", -1, 1),
                    number("strength", -Double.MAX_VALUE),
                    text("reason", 0, 65_535),
                    time("ts_decided"),
                    time("ts_event"),
                    text("record", 0, 1024),
                    text("inputs", 0, 1024),
                    count("partition", -1),
                    count("offset", -1),
                    text("details", 0, Integer.MAX_VALUE),
                    time("ts_recv"),
                    text("source", 1, 64));

    private final Map<String, Column> columns = new LinkedHashMap<>();

    private RecordReader(Column... columns) {
        for (Column column : columns) {
            this.columns.put(column.name, column);
        }
    }

    /** The document of the record in <code>value</code>. DataException with the reason if it is invalid. */
    Map<String, Object> document(byte[] value) {
        if (value == null) {
            throw new DataException("no value");
        }
        Map<String, Object> found = new HashMap<>();
        String repeated = null;
        try (JsonParser json = JSON.createParser(decoded(value))) {
            begin(json);
            while (json.nextToken() == JsonToken.FIELD_NAME) {
                Column column = columns.get(paired(json));
                json.nextToken();
                if (column == null) {
                    skip(json);
                } else if (found.put(column.name, column.value(json)) != null) {
                    repeated = column.name;
                }
            }
            if (json.nextToken() != null) {
                throw notJson("trailing characters");
            }
        } catch (JsonEOFException error) {
            throw notJson("it ends too early");
        } catch (JsonProcessingException error) {
            throw notJson("wrong at character " + error.getLocation().getCharOffset());
        } catch (IOException error) {
            throw new IllegalStateException("a text in memory cannot be read", error);
        }
        Map<String, Object> document = new LinkedHashMap<>();
        for (Column column : columns.values()) {
            Object one = column.optional ? found.getOrDefault(column.name, "") : found.get(column.name);
            if (one == null) {
                throw new DataException(column.name + " is missing");
            }
            document.put(column.name.equals("id") ? "_id" : column.name, one);
        }
        columns.values().forEach(column -> column.check(found.get(column.name)));
        if (repeated != null) {
            throw new DataException(repeated + " is there more than once");
        }
        return document;
    }

    private static String decoded(byte[] value) {
        ByteBuffer bytes = ByteBuffer.wrap(value);
        try {
            return StandardCharsets.UTF_8.newDecoder().decode(bytes).toString();
        } catch (CharacterCodingException error) {
            throw new DataException("not UTF-8: malformed at byte " + bytes.position());
        }
    }

    private static void begin(JsonParser json) throws IOException {
        JsonToken token = json.nextToken();
        if (token == null) {
            throw notJson("it ends too early");
        }
        if (token != JsonToken.START_OBJECT) {
            throw new DataException("the record is not an object, but " + named(token));
        }
    }

    /** Skip a value that is not stored, which must still be valid JSON. */
    private static void skip(JsonParser json) throws IOException {
        int depth = 1;
        while (true) {
            JsonToken token = json.currentToken();
            depth += token.isStructStart() ? 1 : token.isStructEnd() ? -1 : 0;
            if (depth > DEPTH) {
                throw new DataException("nested more than " + DEPTH + " deep");
            }
            if (token == JsonToken.FIELD_NAME || token == JsonToken.VALUE_STRING) {
                paired(json);
            }
            if (depth == 1) {
                return;
            }
            json.nextToken();
        }
    }

    /** The key or text at the position of <code>json</code>. Escapes can write half of a surrogate pair, which is invalid. */
    private static String paired(JsonParser json) throws IOException {
        String text = json.getText();
        if (text.codePoints().anyMatch(point -> Character.getType(point) == Character.SURROGATE)) {
            throw notJson("half of a surrogate pair");
        }
        return text;
    }

    private static DataException notJson(String words) {
        return new DataException("the record is not JSON: " + words);
    }

    private static String named(JsonToken token) {
        return switch (token) {
            case START_OBJECT -> "an object";
            case START_ARRAY -> "a list";
            case VALUE_STRING -> "a text";
            case VALUE_NUMBER_INT -> "a whole number";
            case VALUE_NUMBER_FLOAT -> "a number with a fraction";
            case VALUE_TRUE, VALUE_FALSE -> "true or false";
            default -> "null";
        };
    }

    private enum Type {
        TEXT("a text"),
        NUMBER("a number"),
        TIME("a whole number"),
        COUNT("a whole number");

        final String words;

        Type(String words) {
            this.words = words;
        }
    }

    private static Column text(String name, int shortest, int longest) {
        return new Column(name, Type.TEXT, shortest, longest, false);
    }

    private static Column optional(String name, int longest) {
        return new Column(name, Type.TEXT, 0, longest, true);
    }

    private static Column number(String name, double least) {
        return number(name, least, Double.MAX_VALUE);
    }

    private static Column number(String name, double least, double most) {
        return new Column(name, Type.NUMBER, least, most, false);
    }

    private static Column count(String name, double least) {
        return new Column(name, Type.COUNT, least, MAX_COUNT, false);
    }

    private static Column time(String name) {
        return new Column(name, Type.TIME, 0, MAX_MS, false);
    }

    /** A column of a record, with the limits of its number or of the length of its text. An optional one may be null. */
    private record Column(String name, Type type, double least, double most, boolean optional) {

        /** The value at the position of <code>json</code>, in MongoDB's type. */
        Object value(JsonParser json) throws IOException {
            JsonToken token = json.currentToken();
            if (token == JsonToken.VALUE_NULL && optional) {
                return "";
            }
            // The integer -0 is 0.
            double number = !token.isNumeric() ? 0 : Double.parseDouble(json.getText());
            if (Double.isInfinite(number)) {
                throw wrong("is out of range");
            }
            if (type == Type.TEXT && token == JsonToken.VALUE_STRING) {
                return ofLength(paired(json));
            }
            if (type == Type.TIME && token == JsonToken.VALUE_NUMBER_INT) {
                return new Date((long) inRange(number));
            }
            if (type == Type.COUNT && token == JsonToken.VALUE_NUMBER_INT) {
                return stored((long) inRange(number));
            }
            if (type == Type.NUMBER && token.isNumeric()) {
                return inRange(token == JsonToken.VALUE_NUMBER_INT ? number + 0.0 : number);
            }
            throw wrong("is not " + type.words + (optional ? " or null" : "") + ", but " + named(token));
        }

        /** A whole number in the shorter of MongoDB's two types, as its Python client writes it. */
        private static Object stored(long number) {
            return number == (int) number ? (Object) (int) number : (Object) number;
        }

        private String ofLength(String text) {
            int length = text.codePointCount(0, text.length());
            if (length < least) {
                throw wrong("is empty");
            }
            if (length > most) {
                throw wrong("has more than " + (int) most + " characters");
            }
            return text;
        }

        private double inRange(double number) {
            if (number < least) {
                throw wrong(least > 0 ? "is not above 0" : "is below " + (long) least);
            }
            if (number > most) {
                throw wrong("is above " + (long) most);
            }
            return number;
        }

        /** Reject a value of the right type that no column, or not this column, may contain. */
        void check(Object value) {
            if (value instanceof String text) {
                text.chars().filter(this::isForbidden).findFirst().ifPresent(found -> {
                    throw wrong(String.format("holds the control character U+%04X", found));
                });
                if (name.equals("symbol") && (text.contains(",") || text.startsWith(" ") || text.endsWith(" "))) {
                    throw wrong("holds a comma, or a space at its ends");
                }
            }
            if (value instanceof Date time && time.getTime() > System.currentTimeMillis() + AHEAD_MS) {
                throw wrong("is more than 7 days ahead: " + TIME.format(Instant.ofEpochMilli(time.getTime())) + " UTC");
            }
        }

        /** Texts contain no control characters; reason and details may contain all but NUL. */
        private boolean isForbidden(int character) {
            return name.equals("reason") || name.equals("details") ? character == 0 : Character.isISOControl(character);
        }

        private DataException wrong(String words) {
            return new DataException(name + " " + words);
        }
    }
}

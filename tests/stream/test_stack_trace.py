"""Java stack traces in one line."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from stockctl.stream.kafka_connect.stack_trace import root_cause

CONVERTING = """\
org.apache.kafka.connect.errors.ConnectException: Tolerance exceeded in error handler
\tat org.apache.kafka.connect.runtime.errors.RetryWithToleranceOperator.execute(RetryWithToleranceOperator.java:260)
Caused by: org.apache.kafka.connect.errors.DataException: Converting byte[] to Kafka Connect data failed
\tat org.apache.kafka.connect.json.JsonConverter.toConnectData(JsonConverter.java:333)
\t... 13 more
Caused by: com.fasterxml.jackson.core.JsonParseException: Unrecognized token 'no': was expecting ('true', 'false' or 'null')
 at [Source: REDACTED (`StreamReadFeature.INCLUDE_SOURCE_IN_LOCATION` disabled); line: 1, column: 3]
\tat com.fasterxml.jackson.core.JsonParser._constructError(JsonParser.java:1851)
"""


def test_the_last_cause_is_the_root_cause() -> None:
    assert root_cause(CONVERTING) == "invalid JSON: Unrecognized token 'no': was expecting ('true', 'false' or 'null')"


def test_the_message_of_the_converter_is_the_reason() -> None:
    trace = "org.apache.kafka.connect.errors.DataException: price is not above 0\n\tat stockctl.connect.X.y(X.java:1)\n"
    assert root_cause(trace) == "price is not above 0"
    assert root_cause("org.apache.kafka.connect.errors.DataException\n\tat a.b(C.java:1)") == "DataException"


def test_a_trace_without_causes_is_its_own_root_cause() -> None:
    trace = "com.mongodb.MongoSecurityException: Exception authenticating\n\tat com.mongodb.X.y(X.java:1)\n"
    assert root_cause(trace) == "MongoDB refuses the login: Exception authenticating"


def test_an_unknown_exception_keeps_its_name() -> None:
    assert root_cause("java.lang.IllegalStateException\n\tat a.b(C.java:1)") == "IllegalStateException"


def test_a_text_that_is_not_a_trace_is_shown_by_its_first_line() -> None:
    assert root_cause("something else\nmore") == "something else"
    assert root_cause("") == ""


@given(st.text())
def test_any_text_becomes_one_line(text: str) -> None:
    assert "\n" not in root_cause(text)

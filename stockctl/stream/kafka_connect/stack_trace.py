"""The root cause of a Java stack trace in one line: Kafka Connect reports failed tasks and rejected records as such traces."""

from __future__ import annotations

import re

_CAUSE = re.compile(r"^(?:Caused by: )?(?P<kind>[\w.$]+(?:Exception|Error|Throwable))(?:: (?P<words>.*))?$")
_SOURCE = re.compile(r"\s*at \[Source: .*?(?:line: \d+, column: \d+\]?|\])", re.DOTALL)
_WORDS = {
    "MongoTimeoutException": "MongoDB does not answer",
    "MongoSocketOpenException": "MongoDB cannot be reached",
    "MongoSocketReadException": "the connection to MongoDB broke",
    "MongoSecurityException": "MongoDB refuses the login",
    "MongoCommandException": "MongoDB refuses a command",
    "MongoBulkWriteException": "MongoDB refuses documents",
    "MongoConfigurationException": "the connection to MongoDB is configured wrongly",
    "WriteException": "MongoDB refuses the document",
    "JsonParseException": "invalid JSON",
    "SaslAuthenticationException": "Kafka refuses the login",
    "TopicAuthorizationException": "permission denied on a topic",
    "GroupAuthorizationException": "permission denied on the consumer group",
    "UnknownTopicOrPartitionException": "a topic does not exist",
    "OutOfMemoryError": "the worker has too little memory",
}
"""The meaning of frequent exceptions; others are shown by their class names."""


def root_cause(trace: str) -> str:
    """The exception at the bottom of ``trace``, which caused all others, in words; empty for an empty trace."""
    cause = None
    for line in trace.splitlines():
        # Indented lines are stack frames and suppressed exceptions.
        if not line.startswith((" ", "\t")):
            cause = _CAUSE.match(line) or cause
    if cause is None:
        return trace.strip().split("\n", 1)[0]
    kind = cause["kind"].rsplit(".", 1)[-1].rsplit("$", 1)[-1]
    words = " ".join(_SOURCE.sub("", cause["words"] or "").split())
    if kind == "WriteException":
        words = _validation_errors(words)
    # The converter's own exceptions are readable without their class name.
    return words if words and kind == "DataException" else f"{_WORDS.get(kind, kind)}: {words}".removesuffix(": ")


def _validation_errors(words: str) -> str:
    """MongoDB's message about a document, with the names of the invalid fields instead of the whole validator."""
    message = re.search(r"message=(?:.*caused by :: )?(.*?)(?:, details=|$)", words)
    if message is None:
        return words
    fields = re.findall(r'"propertyName": "([^"]*)"', words)
    missing = re.search(r'"missingProperties": \[([^\]]*)\]', words)
    parts = [message[1], *([f"wrong: {', '.join(fields)}"] if fields else [])]
    return "; ".join([*parts, *([f"missing: {missing[1].replace(chr(34), '')}"] if missing else [])])

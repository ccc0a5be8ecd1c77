"""What a Java stack trace says, in a line: Kafka Connect tells why a task failed, or a record was refused, by such traces."""

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
    "JsonParseException": "no JSON",
    "SaslAuthenticationException": "Kafka refuses the login",
    "TopicAuthorizationException": "no right to a topic",
    "GroupAuthorizationException": "no right to the consumer group",
    "UnknownTopicOrPartitionException": "a topic does not exist",
    "OutOfMemoryError": "the worker has too little memory",
}
"""What the exceptions that are met most mean; others are shown by their names."""


def first_cause(trace: str) -> str:
    """The exception at the bottom of ``trace``, from which all the others came, in words; empty for an empty trace."""
    found = None
    for line in trace.splitlines():
        # A frame of the stack, or what was suppressed beside the cause.
        if not line.startswith((" ", "\t")):
            found = _CAUSE.match(line) or found
    if found is None:
        return trace.strip().split("\n", 1)[0]
    kind = found["kind"].rsplit(".", 1)[-1].rsplit("$", 1)[-1]
    words = " ".join(_SOURCE.sub("", found["words"] or "").split())
    if kind == "WriteException":
        words = _refusal(words)
    # A converter's exception says in plain words why a record is refused.
    return words if words and kind == "DataException" else f"{_WORDS.get(kind, kind)}: {words}".removesuffix(": ")


def _refusal(words: str) -> str:
    """What MongoDB says of a document, without its long account of the rule: the fields that break it are enough."""
    message = re.search(r"message=(?:.*caused by :: )?(.*?)(?:, details=|$)", words)
    if message is None:
        return words
    fields = re.findall(r'"propertyName": "([^"]*)"', words)
    missing = re.search(r'"missingProperties": \[([^\]]*)\]', words)
    told = [message[1], *([f"wrong: {', '.join(fields)}"] if fields else [])]
    return "; ".join([*told, *([f"missing: {missing[1].replace(chr(34), '')}"] if missing else [])])

"""Names that Kafka, MongoDB, AWS and Kubernetes would refuse later are refused where they are read."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stockctl.errors import ConfigError
from stockctl.settings import load_settings

TOPICS = [
    "topics.trades.name",
    "topics.feed_events.name",
    "topics.signals.name",
    "topics.dead_letters.name",
    "connect.config_topic",
]
GROUPS = ["lake.group", "mongo.group", "connect.connector"]
SCHEMAS = ["redshift.external_schema", "redshift.view_schema"]
IMAGES = ["infra.image", "infra.connect_image"]
DIGEST = "@sha256:" + "0" * 64

BUCKETS = ["my-bucket", "a.b-c", "123", "b" * 63, "1.2.3.4.5"]
NO_BUCKETS = ["", "ab", "b" * 64, "My-Bucket", "my_bucket", "a..b", "-ab", "ab-", ".ab", "ab.", "192.168.5.4", "a b", "b:9000"]
BUCKETS_OF_AWS = ["xn--b", "sthree-b", "amzn-s3-demo-bucket"]
KAFKAS = ["__consumer_offsets", "__transaction_state", "__share_group_state", "__cluster_metadata", "__remote_log_metadata"]

TAKEN: dict[tuple[str, ...], list[str]] = {
    tuple(TOPICS): ["my-trades", "my.trades_2-x", "...", "A" * 240, "__trades", "__consumer_offsets_2"],
    tuple(GROUPS): ["my-group", "team:lake/7", "ü", "g" * 249],
    ("mongo.database",): ["stockctl", "a-b_c", "d" * 63],
    ("glue.database",): ["stockctl", "a_1"],
    ("glue.schedule",): ["cron(15 * * * ? *)"],
    tuple(SCHEMAS): ["lake", "_a1"],
    ("redshift.role",): ["default", "arn:aws:iam::123456789012:role/spectrum"],
    ("infra.namespace",): ["stockctl", "a", "a-1", "n" * 63],
    tuple(IMAGES): [
        "stockctl",
        "here/stockctl",
        "localhost:5000/a/b",
        "Registry.Example.com/team/a__b",
        "[::1]:5000/a",
        *(f"here:{port}/stockctl" for port in (1, 80, 9999, 10000, 59999, 64999, 65499, 65529, 65535)),
        "a-b.c/d",
    ],
    ("infra.image_tag",): ["7", "v1.0_rc-2", "A" * 128],
    ("infra.mongo_clients",): ["203.0.113.7/32", "203.0.113.0/24,2001:db8::/32", "0.0.0.0/0"],
    ("lake.url",): [
        *(f"s3://{bucket}/market" for bucket in BUCKETS),
        "s3://bucket",
        "s3://bucket/",
        "s3://bucket/a/b.c/",
        "s3://bucket/ü/a b",
        "file:///a/../b//c",
    ],
    ("topics.trades.partitions", "topics.trades.replication"): ["1", "32767"],
    ("topics.trades.max_message",): ["1", "2147483647"],
}
REFUSED: dict[tuple[str, ...], list[str]] = {
    tuple(TOPICS): ["", ".", "..", "two words", "trades/x", "tr\u00e4des", "a:b", "A" * 250, "trades\n", *KAFKAS],
    ("topics.dead_letters.name",): ["A" * 241],
    tuple(GROUPS): ["", "two words", "a\tb", "a\x00", "g" * 250, "lake\n"],
    ("mongo.database",): ["", "a.b", "a b", "a/b", "$a", "d" * 64, "admin", "local", "Config"],
    ("glue.database",): ["", "Upper", "a-b"],
    ("glue.schedule",): ["hourly", "cron()"],
    tuple(SCHEMAS): ["", "1a", "a-b", "s" * 128, "pg_lake", "information_schema"],
    ("redshift.role",): ["spectrum", "arn:aws iam"],
    ("infra.namespace",): ["", "-a", "a-", "A", "a.b", "n" * 64, "kube-system", "kube-mine"],
    tuple(IMAGES): [
        "",
        "Upper",
        "a//b",
        "/a",
        "a/",
        "a b",
        "a:7",
        "here/stockctl:7",
        f"a{DIGEST}",
        "https://here/a",
        "a___b",
        "a" * 256,
        *(f"here:{port}/stockctl" for port in ("", "0", "65536", "99999", "655350")),
    ],
    ("infra.image_tag",): ["", "-a", ".a", "a b", "a:b", "A" * 129],
    ("lake.extra_sources", "mongo.extra_sources"): ["two words", "a/b", "s" * 65, "ü", "a\n,b;"],
    ("infra.mongo_clients",): ["203.0.113.7", "203.0.113.7/33", "203.0.113.7/24", "here/24"],
    ("lake.url",): [
        *(f"s3://{bucket}/market" for bucket in [*NO_BUCKETS, *BUCKETS_OF_AWS]),
        *(f"s3://bucket/{prefix}" for prefix in ("/x", "a//b", "a//", "../x", "a/../b", "a/.", "a#b", "a\\b", "a\nb", "a?b")),
        "S3://My_Bucket/x",
    ],
    ("topics.trades.replication",): ["0", "32768"],
    ("topics.trades.partitions",): ["0", "2147483648"],
    ("topics.trades.max_message",): ["2147483648"],
}


def pairs(table: dict[tuple[str, ...], list[str]]) -> list[tuple[str, str]]:
    return [(name, text) for names, texts in table.items() for name in names for text in texts]


@pytest.mark.parametrize(("name", "text"), pairs(TAKEN))
def test_what_the_other_side_takes_is_taken(name: str, text: str) -> None:
    load_settings(environ={}, flags={name: text}, stack=False)


@pytest.mark.parametrize(("name", "text"), pairs(REFUSED))
def test_what_the_other_side_refuses_is_refused_first_in_words(name: str, text: str) -> None:
    with pytest.raises(ConfigError, match=f"invalid setting {re.escape(name)} from command line: ") as raised:
        load_settings(environ={}, flags={name: text}, stack=False)
    assert not re.search(r"match|\^|\[[aA]-", str(raised.value))


OTHER_TOPICS = {
    "connect-configs",
    "connect-offsets",
    "connect-status",
    "feed-events",
    "signals",
    "trades_dlq",
    "trades_dlq_replayed",
}
"""Names of the other topics by default. Kafka does not distinguish `.` and `_`."""


@given(st.text(max_size=260))
@example("connect-configs")
def test_the_rule_for_topics_is_kafkas(text: str) -> None:
    """As ``org.apache.kafka.common.internals.Topic`` has it."""
    legal = (
        0 < len(text) <= 249
        and text not in (".", "..")
        and all(one.isascii() and (one.isalnum() or one in "._-") for one in text)
    )
    if text.replace(".", "_") in OTHER_TOPICS:  # legal, but the name of another topic
        return
    try:
        load_settings(environ={}, flags={"topics.trades.name": text}, stack=False)
    except ConfigError:
        assert not legal
    else:
        assert legal

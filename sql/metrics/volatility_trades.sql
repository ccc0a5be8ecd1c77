-- Rolling sample standard deviation of the last :preceding + 1 prices, at the end of each step of time that contains a trade.
-- Steps count backwards from the anchor: step n is (anchor - (n + 1) * step, anchor - n * step]. A span's first windows contain
-- fewer prices; trades is their number. One price has no deviation.
WITH rolling AS (
    SELECT
        c.span,
        a.anchor_ms - (a.anchor_ms - c.ts_event) / :step_ms * :step_ms AS at_ms,
        STDDEV_SAMP(c.price - f.first_price) OVER (
            PARTITION BY c.span ORDER BY c.ts_event, c.ts_recv, c.id ROWS BETWEEN :preceding PRECEDING AND CURRENT ROW
        ) AS deviation,
        ROW_NUMBER() OVER (PARTITION BY c.span ORDER BY c.ts_event, c.ts_recv, c.id) AS place,
        ROW_NUMBER() OVER (
            PARTITION BY c.span, (a.anchor_ms - c.ts_event) / :step_ms ORDER BY c.ts_event DESC, c.ts_recv DESC, c.id DESC
        ) AS place_from_end
    FROM priced AS c
    JOIN anchors AS a ON a.span = c.span
    JOIN firsts AS f ON f.span = c.span
)

SELECT
    span,
    at_ms,
    CASE WHEN place > :preceding THEN :preceding + 1 ELSE place END AS trades,
    deviation AS volatility
FROM rolling
WHERE place_from_end = 1

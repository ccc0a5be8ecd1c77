-- Rolling sample standard deviation of prices over the time (t - w, t], at the end t of each step of time.
-- A window is a whole number of steps, so that each trade is read once: first each step is aggregated (count, mean, squared
-- deviations from the mean), then each window from its steps. Steps count backwards from the anchor, as in volatility_trades.
WITH steps_of_time AS (
    SELECT
        c.span,
        a.anchor_ms,
        (a.anchor_ms - c.ts_event) / :step_ms AS step,
        COUNT(*) AS trades,
        AVG(c.price - f.first_price) AS mean,
        COALESCE(VAR_SAMP(c.price - f.first_price), 0) * (COUNT(*) - 1) AS squares
    FROM priced AS c
    JOIN anchors AS a ON a.span = c.span
    JOIN firsts AS f ON f.span = c.span
    GROUP BY c.span, a.anchor_ms, (a.anchor_ms - c.ts_event) / :step_ms
),

members AS (
    SELECT s.span, s.anchor_ms - (s.step - o.steps) * :step_ms AS at_ms, s.trades, s.mean, s.squares
    FROM steps_of_time AS s
    JOIN offsets AS o ON o.steps <= s.step
),

windows AS (
    SELECT
        span,
        at_ms,
        CAST(SUM(trades) AS BIGINT) AS trades,
        SUM(trades * mean) / SUM(trades) AS mean,
        SUM(squares) AS squares
    FROM members
    GROUP BY span, at_ms
)

SELECT
    w.span,
    w.at_ms,
    w.trades,
    CASE
        WHEN w.trades > 1
            THEN SQRT((w.squares + SUM(m.trades * (m.mean - w.mean) * (m.mean - w.mean))) / (w.trades - 1))
    END AS volatility
FROM windows AS w
JOIN members AS m ON m.span = w.span AND m.at_ms = w.at_ms
GROUP BY w.span, w.at_ms, w.trades, w.squares

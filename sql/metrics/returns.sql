-- Sample standard deviation of previous-tick log returns on a grid of time, and the same for a year.
-- A segment is covered time of one session: no return leaves it. Edge n of its grid is origin + n * every; the price at an edge is
-- that of the last trade at or before it. Between edges without a trade the return is 0: those are counted, not listed.
WITH ticks AS (
    SELECT
        g.segment,
        (c.ts_event - g.origin_ms + :every_ms - 1) / :every_ms AS edge,
        c.price,
        ROW_NUMBER() OVER (
            PARTITION BY g.segment, (c.ts_event - g.origin_ms + :every_ms - 1) / :every_ms
            ORDER BY c.ts_event DESC, c.ts_recv DESC, c.id DESC
        ) AS place_from_end
    FROM counted AS c
    JOIN segments AS g ON g.span = c.span AND g.since_ms <= c.ts_event AND c.ts_event < g.until_ms
    WHERE c.price > 0
),

moves AS (
    SELECT g.span, g.segment, t.edge, LN(t.price / LAG(t.price) OVER (PARTITION BY g.segment ORDER BY t.edge)) AS move
    FROM ticks AS t
    JOIN segments AS g ON g.segment = t.segment
    WHERE t.place_from_end = 1 AND t.edge <= g.last_edge
),

counts AS (
    SELECT span, CAST(SUM(last_edge - first_edge) AS BIGINT) AS returns
    FROM (
        SELECT g.span, g.segment, g.last_edge, MIN(m.edge) AS first_edge
        FROM segments AS g
        JOIN moves AS m ON m.segment = g.segment
        GROUP BY g.span, g.segment, g.last_edge
    ) AS by_segment
    GROUP BY span
),

means AS (
    SELECT m.span, n.returns, COUNT(m.move) AS listed, COALESCE(SUM(m.move), 0) / n.returns AS mean
    FROM moves AS m
    JOIN counts AS n ON n.span = m.span
    WHERE n.returns > 1
    GROUP BY m.span, n.returns
)

SELECT
    a.span,
    a.returns,
    SQRT(
        (SUM(CASE WHEN m.move IS NULL THEN 0 ELSE (m.move - a.mean) * (m.move - a.mean) END) + (a.returns - a.listed) * a.mean * a.mean)
        / (a.returns - 1)
    ) AS deviation
FROM means AS a
JOIN moves AS m ON m.span = a.span
GROUP BY a.span, a.returns, a.listed, a.mean

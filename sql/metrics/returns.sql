-- Sample standard deviation of previous-tick log returns on a grid of time.
-- A segment is covered time within one session: no return crosses its ends. Edge n of its grid is origin + n * every. The price at
-- an edge is that of the last trade at or before it. A session starts with its opening price, that of its first trade. Trades that
-- are reported after its close, such as the closing auction, belong to its last edge. Between edges without a trade the return is
-- 0: these returns are counted, not listed.
WITH ticks AS (
    SELECT
        segment,
        opening_edge,
        last_edge,
        edge,
        price,
        ROW_NUMBER() OVER (PARTITION BY segment ORDER BY ts_event, ts_recv, id) AS place,
        ROW_NUMBER() OVER (PARTITION BY segment, edge ORDER BY ts_event DESC, ts_recv DESC, id DESC) AS place_from_end
    FROM (
        SELECT
            g.segment,
            g.opening_edge,
            g.last_edge,
            CASE
                WHEN c.ts_event >= g.until_ms THEN g.last_edge
                ELSE (c.ts_event - g.origin_ms + :every_ms - 1) / :every_ms
            END AS edge,
            c.price,
            c.ts_event,
            c.ts_recv,
            c.id
        FROM priced AS c
        JOIN segments AS g
            ON g.span = c.span AND g.session = c.session AND g.since_ms <= c.ts_event AND c.ts_event < g.late_until_ms
        WHERE c.price > 0
    ) AS inside
    WHERE edge <= last_edge
),

edges AS (
    SELECT segment, edge, price FROM ticks WHERE place_from_end = 1
    UNION ALL
    SELECT segment, opening_edge AS edge, price FROM ticks WHERE place = 1 AND opening_edge < edge
),

moves AS (
    SELECT g.span, g.segment, t.edge, LN(t.price / LAG(t.price) OVER (PARTITION BY g.segment ORDER BY t.edge)) AS move
    FROM edges AS t
    JOIN segments AS g ON g.segment = t.segment
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
    WHERE n.returns > 0
    GROUP BY m.span, n.returns
)

SELECT
    a.span,
    a.returns,
    SQRT(
        (SUM(CASE WHEN m.move IS NULL THEN 0 ELSE (m.move - a.mean) * (m.move - a.mean) END) + (a.returns - a.listed) * a.mean * a.mean)
        / NULLIF(a.returns - 1, 0)
    ) AS deviation
FROM means AS a
JOIN moves AS m ON m.span = a.span
GROUP BY a.span, a.returns, a.listed, a.mean

-- The records of each span, counted or left out, by source and by the columns that decide it.
SELECT
    span,
    source,
    counts,
    priced,
    conditions,
    updates,
    CASE WHEN volume > 0 THEN 0 ELSE 1 END AS zero_volume,
    COUNT(*) AS trades,
    MAX(ts_event) AS last_ms
FROM placed
GROUP BY span, source, counts, priced, conditions, updates, CASE WHEN volume > 0 THEN 0 ELSE 1 END

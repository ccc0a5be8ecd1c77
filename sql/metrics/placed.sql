-- Every trade in its span, by its time and the kind that its codes name; the start of its bar; whether the policy counts it (1) or
-- leaves it out (0); and whether its price counts: that of each counted trade and, for venues that send prices, that of an update
-- without volume too.
--   all            updates volume, and volume is above 0
--   standard       as all, and no code marks a price that the market did not form at that time
--   price-forming  as standard, and updates the last price or the high and low
SELECT
    p.span,
    p.part,
    p.session,
    p.origin_ms + (t.ts_event - p.origin_ms) / p.every_ms * p.every_ms AS bar_ms,
    t.ts_event,
    t.ts_recv,
    t.id,
    t.price,
    t.volume,
    t.conditions,
    t.updates,
    t.source,
    CASE WHEN t.volume > 0 THEN t.allowed * t.voluminous ELSE 0 END AS counts,
    CASE WHEN t.volume > 0 THEN t.allowed * t.voluminous ELSE t.allowed * p.quotes END AS priced
FROM (
    SELECT
        r.symbol,
        r.ts_event,
        r.ts_recv,
        r.id,
        r.price,
        r.volume,
        r.conditions,
        r.updates,
        r.source,
        k.kind,
        CASE WHEN r.updates LIKE '%v%' THEN 1 ELSE 0 END AS voluminous,
        CASE
            WHEN (:policy = 'all' OR k.never_price_forming = 0)
                AND (:policy <> 'price-forming' OR r.updates LIKE '%l%' OR r.updates LIKE '%h%')
                THEN 1
            ELSE 0
        END AS allowed
    FROM trades AS r
    JOIN condition_sets AS k ON k.conditions = r.conditions
) AS t
JOIN slices AS p
    ON p.symbol = t.symbol AND p.since_ms <= t.ts_event AND t.ts_event < p.until_ms AND p.kinds LIKE '%' || t.kind || '%'

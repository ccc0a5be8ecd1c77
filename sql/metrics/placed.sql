-- Every trade that lies in an asked span, the start of its bar, and whether the policy counts it (1) or leaves it out (0).
--   all            may update volume, and volume is above 0
--   standard       as all, and no code whose price was not made by that moment's market
--   price-forming  as standard, and may update the last price or the high and low
SELECT
    p.span,
    p.part,
    p.origin_ms + (t.ts_event - p.origin_ms) / p.every_ms * p.every_ms AS bar_ms,
    t.ts_event,
    t.ts_recv,
    t.id,
    t.price,
    t.volume,
    t.conditions,
    t.updates,
    t.source,
    CASE
        WHEN t.volume > 0
            AND t.updates LIKE '%v%'
            AND (:policy = 'all' OR k.never_price_forming = 0)
            AND (:policy <> 'price-forming' OR t.updates LIKE '%l%' OR t.updates LIKE '%h%')
            THEN 1
        ELSE 0
    END AS counts
FROM trades AS t
JOIN pieces AS p ON p.symbol = t.symbol AND p.since_ms <= t.ts_event AND t.ts_event < p.until_ms
JOIN condition_sets AS k ON k.conditions = t.conditions

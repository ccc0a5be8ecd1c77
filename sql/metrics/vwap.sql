-- Volume-weighted average price of each bar: sum(price * volume) / sum(volume).
SELECT
    c.span,
    c.bar_ms,
    COUNT(*) AS trades,
    SUM(c.volume) AS volume,
    f.first_price + SUM((c.price - f.first_price) * c.volume) / SUM(c.volume) AS vwap
FROM counted AS c
JOIN firsts AS f ON f.span = c.span
GROUP BY c.span, c.bar_ms, f.first_price

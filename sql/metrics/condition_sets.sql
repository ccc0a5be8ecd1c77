-- Each set of condition codes that occurs among the trades: whether one of its codes never forms a price (1) or none (0), and of
-- which hours the codes tell that a trade is: e, extended ones; r, regular ones; p, they do not tell.
SELECT
    s.conditions,
    MAX(COALESCE(c.never_price_forming, 0)) AS never_price_forming,
    CASE
        WHEN MAX(COALESCE(c.late_extended, 0)) = 1 THEN 'e'
        WHEN MAX(COALESCE(c.late_regular, 0)) = 1 THEN 'r'
        ELSE 'p'
    END AS told
FROM (SELECT DISTINCT conditions FROM trades) AS s
LEFT JOIN codes AS c ON ',' || s.conditions || ',' LIKE '%,' || c.code || ',%'
GROUP BY s.conditions

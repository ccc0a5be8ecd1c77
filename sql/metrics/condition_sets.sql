-- Each set of condition codes among the trades: whether one of its codes never forms a price (1 or 0), and the kind of trade by
-- the hours that its codes name: e, extended; r, regular; p, none (plain).
SELECT
    s.conditions,
    MAX(COALESCE(c.never_price_forming, 0)) AS never_price_forming,
    CASE
        WHEN MAX(COALESCE(c.late_extended, 0)) = 1 THEN 'e'
        WHEN MAX(COALESCE(c.late_regular, 0)) = 1 THEN 'r'
        ELSE 'p'
    END AS kind
FROM (SELECT DISTINCT conditions FROM trades) AS s
LEFT JOIN codes AS c ON ',' || s.conditions || ',' LIKE '%,' || c.code || ',%'
GROUP BY s.conditions

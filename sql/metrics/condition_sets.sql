-- Each set of condition codes that occurs among the trades, and whether one of its codes never forms a price (1) or none (0).
SELECT
    s.conditions,
    MAX(COALESCE(c.never_price_forming, 0)) AS never_price_forming
FROM (SELECT DISTINCT conditions FROM trades) AS s
LEFT JOIN codes AS c ON ',' || s.conditions || ',' LIKE '%,' || c.code || ',%'
GROUP BY s.conditions

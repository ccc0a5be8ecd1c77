-- The first counted price of each span. Sums are taken on prices minus this price, to keep their precision.
SELECT span, price AS first_price
FROM (
    SELECT c.span, c.price, ROW_NUMBER() OVER (PARTITION BY c.span ORDER BY c.ts_recv, c.id) AS place
    FROM priced AS c
    JOIN (SELECT span, MIN(ts_event) AS ts_event FROM priced GROUP BY span) AS f
        ON f.span = c.span AND f.ts_event = c.ts_event
) AS earliest
WHERE place = 1

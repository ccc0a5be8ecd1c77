-- The price of each span's first counted trade. Sums are taken on prices less this one, so that they keep their digits.
SELECT span, price AS first_price
FROM (
    SELECT c.span, c.price, ROW_NUMBER() OVER (PARTITION BY c.span ORDER BY c.ts_recv, c.id) AS place
    FROM counted AS c
    JOIN (SELECT span, MIN(ts_event) AS ts_event FROM counted GROUP BY span) AS f
        ON f.span = c.span AND f.ts_event = c.ts_event
) AS earliest
WHERE place = 1

-- The trades and price updates whose prices count.
SELECT span, part, session, ts_event, ts_recv, id, price
FROM placed
WHERE priced = 1

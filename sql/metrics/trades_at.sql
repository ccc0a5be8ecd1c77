-- The trades at the times of anchors, whether they count or not.
SELECT p.span, p.ts_event, p.ts_recv, p.id, p.price
FROM placed AS p
JOIN (SELECT DISTINCT span, anchor_ms FROM anchors) AS a ON a.span = p.span AND a.anchor_ms = p.ts_event

-- Reports as one row each, with standard items as reported: of each the first concept that the report has, and of that the first line
-- with a value in a unit that the item can have, as in `filings statement`; nothing is derived. Statements of a 10-Q other than the
-- balance sheet run from the start of the fiscal year: period_start and period_end tell the period.
SELECT
    symbol,
    accession,
    form,
    period_start,
    period_end,
    filed,
    TIMESTAMP 'epoch' + MAX(accepted) / 1000 * INTERVAL '1 second' AS accepted_time,
    :items
FROM (
    SELECT
        fitting.*,
        ROW_NUMBER() OVER (
            PARTITION BY symbol, accession, statement, name
            ORDER BY CASE WHEN value IS NULL THEN 1 ELSE 0 END, position
        ) AS place
    FROM (
        SELECT
            symbol,
            accession,
            form,
            period_start,
            period_end,
            filed,
            accepted,
            statement,
            position,
            name,
            CASE
                WHEN COALESCE(measure, '') IN ('shares', 'pure') THEN NULL
                WHEN measure LIKE '%/share' AND name NOT LIKE 'EarningsPerShare%' THEN NULL
                ELSE value
            END AS value
        FROM :external_schema.filings
        WHERE accession IS NOT NULL
    ) AS fitting
) AS placed
WHERE place = 1
GROUP BY symbol, accession, form, period_start, period_end, filed

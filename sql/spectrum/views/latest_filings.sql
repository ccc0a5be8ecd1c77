-- The newest report of each symbol and form, by the moment it was public.
SELECT
    symbol,
    form,
    accession,
    cik,
    year,
    quarter,
    period_start,
    period_end,
    filed,
    TIMESTAMP 'epoch' + accepted / 1000 * INTERVAL '1 second' AS accepted_time,
    items
FROM (
    SELECT
        symbol,
        form,
        accession,
        MAX(cik) AS cik,
        MAX(year) AS year,
        MAX(quarter) AS quarter,
        MAX(period_start) AS period_start,
        MAX(period_end) AS period_end,
        MAX(filed) AS filed,
        MAX(accepted) AS accepted,
        COUNT(*) AS items,
        ROW_NUMBER() OVER (
            PARTITION BY symbol, form ORDER BY MAX(COALESCE(accepted, 0)) DESC, MAX(COALESCE(filed, '')) DESC, accession DESC
        ) AS place
    FROM :external_schema.filings
    WHERE accession IS NOT NULL
    GROUP BY symbol, form, accession
) AS reports
WHERE place = 1

-- Reports as one row each, with standard items as reported: of each the first concept that the report has. What `filings statement`
-- decides by more than that is null here where it matters: a concept with several values of which none is the sum of the others,
-- revenue from contracts beside other income of the business, income and equity that minorities have a share in. Nothing is
-- derived. Statements of a 10-Q other than the balance sheet run from the start of the fiscal year: period_start and period_end
-- give the period.
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
        symbol,
        accession,
        form,
        period_start,
        period_end,
        filed,
        MAX(accepted) AS accepted,
        statement,
        name,
        MAX(value) AS most,
        CASE
            WHEN MIN(value) = MAX(value) THEN MAX(value)
            WHEN SUM(value) = 2 * MAX(value) AND name NOT LIKE 'EarningsPerShare%' THEN MAX(value)
        END AS value
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
            name,
            CASE
                WHEN COALESCE(measure, '') IN ('shares', 'pure') THEN NULL
                WHEN measure LIKE '%/share' AND name NOT LIKE 'EarningsPerShare%' THEN NULL
                ELSE value
            END AS value
        FROM :external_schema.filings
        WHERE accession IS NOT NULL
    ) AS fitting
    GROUP BY symbol, accession, form, period_start, period_end, filed, statement, name
) AS lines
GROUP BY symbol, accession, form, period_start, period_end, filed

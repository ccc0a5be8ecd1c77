CREATE EXTERNAL TABLE :external_schema.:table (
    :columns
)
PARTITIONED BY (:keys)
STORED AS PARQUET
LOCATION :location
TABLE PROPERTIES (:properties)

CREATE EXTERNAL TABLE :external_schema.:table (
    :columns
)
PARTITIONED BY (:keys)
ROW FORMAT SERDE :serde
WITH SERDEPROPERTIES (:options)
STORED AS TEXTFILE
LOCATION :location
TABLE PROPERTIES (:properties)

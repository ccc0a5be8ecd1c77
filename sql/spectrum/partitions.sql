ALTER TABLE :external_schema.:table ADD IF NOT EXISTS
:partitions

ALTER TABLE :external_schema.:table DROP PARTITION (:keys)

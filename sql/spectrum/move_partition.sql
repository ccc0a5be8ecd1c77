ALTER TABLE :external_schema.:table PARTITION (:keys) SET LOCATION :location

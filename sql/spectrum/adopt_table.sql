ALTER TABLE :external_schema.:table SET TABLE PROPERTIES (:properties)

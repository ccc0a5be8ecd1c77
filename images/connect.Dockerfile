# Kafka Connect with the MongoDB connector: `docker build -f images/connect.Dockerfile -t stockctl-connect:0.1.0 images`.
FROM maven:3.9-eclipse-temurin-17 AS plugin
RUN mvn -B -q dependency:copy -Dartifact=org.mongodb.kafka:mongo-kafka-connect:2.0.1:jar:all -DoutputDirectory=/plugins/mongo

FROM apache/kafka:4.3.1
COPY --from=plugin /plugins /opt/connect-plugins
USER 1000:1000

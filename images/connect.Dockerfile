# Kafka Connect with the MongoDB connector: `docker build -f images/connect.Dockerfile -t stockctl-connect:0.1.0 images`.
FROM apache/kafka:4.3.1 AS kafka

FROM maven:3.9-eclipse-temurin-17 AS plugins
RUN mvn -B -q dependency:copy -Dartifact=org.mongodb.kafka:mongo-kafka-connect:2.0.1:jar:all -DoutputDirectory=/plugins/mongo
# Our converter, against the jars that the worker has.
COPY --from=kafka /opt/kafka/libs /libs
COPY connect /connect
RUN mkdir /plugins/stockctl && sh /connect/build.sh /libs /plugins/stockctl/record-converter.jar

FROM apache/kafka:4.3.1
COPY --from=plugins /plugins /opt/connect-plugins
USER 1000:1000

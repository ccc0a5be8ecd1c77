#!/bin/sh
# Build the converter with a JDK 17+ and the jars of Kafka: `sh images/connect/build.sh /opt/kafka/libs record-converter.jar`.
set -eu
here=$(dirname "$0")
classes=$(mktemp -d)
trap 'rm -rf "$classes"' EXIT
javac --release 17 -proc:none -d "$classes" -cp "$1/*" "$here"/stockctl/connect/*.java
jar --create --file "$2" -C "$classes" . -C "$here" META-INF

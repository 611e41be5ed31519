#!/bin/sh
# calls.txt through JDBC; CLASSPATH names the driver.
cd "$(dirname "$0")" && exec java -XX:-UsePerfData -Djava.io.tmpdir="${TMPDIR:-/tmp}" -cp "$CLASSPATH" Calls.java calls.txt

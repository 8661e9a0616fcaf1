module aegis.dev/native-bridge/tsc

go 1.26.8

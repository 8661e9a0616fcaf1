//go:build !amd64

package main

const available = false

func readCounter() int64 { return 0 }

package main

const available = true

// readCounter is the instruction rdtsc, not before the instructions in front of it have ended.
func readCounter() int64

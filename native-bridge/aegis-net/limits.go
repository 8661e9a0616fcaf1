package main

import "time"

const (
	// maxOpening is how many TCP connections may be being opened; the SYN of one more is dropped, and comes again.
	maxOpening = 1024
	// maxFlows is how many TCP connections and UDP conversations there may be at once; each costs a socket of the host.
	maxFlows   = 6000
	dialWithin = 20 * time.Second
	// udpIdle is when a conversation that nobody goes on with is over (RFC 4787 asks for two minutes).
	udpIdle = 2 * time.Minute
	// maxEchoes and maxQuestions bound what is under way at once; more is dropped, as on any network.
	maxEchoes    = 64
	echoWithin   = 10 * time.Second
	maxQuestions = 256
)

package main

// limits bound what an image may cost (T-83). A request may name others.
type limits struct {
	// Bytes of all layers, unpacked, and of all files, holes counted.
	Total int64 `json:"totalBytes"`
	File  int64 `json:"fileBytes"`
	// Entries of all layers.
	Entries int64 `json:"entries"`
	Path    int64 `json:"pathBytes"`
	Depth   int64 `json:"depth"`
	// How many times larger than its blob a layer may be. Small ones, whose zeros may compress without end, are not held to it.
	Ratio int64 `json:"ratio"`
}

const ratioFreeBytes = 64 << 20

func defaultLimits() limits {
	return limits{Total: 10 << 30, File: 5 << 30, Entries: 1_000_000, Path: 4096, Depth: 128, Ratio: 1000}
}

func overLimit(what, limit string) *failure {
	return &failure{Code: codeTooLarge, Message: what + " is over the limit of " + limit, What: what, Limit: limit}
}

package wire

// Activity answers GET /activity.
type Activity struct {
	CPUMs   uint64 `json:"cpuMs"`
	Tunnels int64  `json:"tunnels"`
}

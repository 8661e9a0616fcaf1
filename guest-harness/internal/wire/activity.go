package wire

// Activity answers GET /activity.
type Activity struct {
	CPUMs        uint64 `json:"cpuMs"`
	NetworkBytes uint64 `json:"networkBytes"`
	Tunnels      int64  `json:"tunnels"`
}

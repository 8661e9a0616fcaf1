package main

import (
	"bufio"
	"net"
	"os"
	"strings"
	"sync"
	"time"
)

const (
	// maxServers is how many of a resolv.conf are asked, as by libc.
	maxServers = 3
	// lookAgain is how often the file is looked at: a laptop moves from one network to another.
	lookAgain = 2 * time.Second
)

// resolverFile is the host's resolv.conf(5).
type resolverFile struct {
	path string

	mu       sync.Mutex
	looked   time.Time
	modified time.Time
	servers  []string
}

// list gives each server as HOST:PORT. Without any it is the one on the host itself, as for libc.
func (r *resolverFile) list() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if time.Since(r.looked) < lookAgain && r.servers != nil {
		return r.servers
	}
	r.looked = time.Now()
	info, err := os.Stat(r.path)
	if err == nil && info.ModTime().Equal(r.modified) && r.servers != nil {
		return r.servers
	}
	if err == nil {
		r.modified = info.ModTime()
	}
	r.servers = readServers(r.path)
	return r.servers
}

func readServers(path string) (servers []string) {
	if file, err := os.Open(path); err == nil {
		defer file.Close()
		lines := bufio.NewScanner(file)
		for lines.Scan() && len(servers) < maxServers {
			fields := strings.Fields(lines.Text())
			if len(fields) > 1 && fields[0] == "nameserver" {
				servers = append(servers, net.JoinHostPort(fields[1], "53"))
			}
		}
	}
	if len(servers) == 0 {
		servers = []string{"127.0.0.1:53"}
	}
	return servers
}

package machine

import (
	"errors"
	"net/netip"
	"os"
	"strings"

	"aegis.dev/guest-harness/internal/wire"
	"golang.org/x/sys/unix"
)

const resolverFile = "etc/resolv.conf"

// resolver is where the image's /etc/resolv.conf is, so that ours can be there in its place.
type resolver int

const (
	// resolverThere: a file, that ours is mounted on.
	resolverThere resolver = iota
	// resolverToAdd: nothing, or something else than a file, such as a symbolic link. A layer over the image has ours.
	resolverToAdd
	// resolverNowhere: the image has something in place of /etc, which nothing is put into.
	resolverNowhere
)

// findResolver looks at the image without following a link of it (T-212).
func findResolver(image int) resolver {
	etc, err := openBeneath(image, "etc")
	switch {
	case errors.Is(err, unix.ENOENT):
		return resolverToAdd
	case err != nil:
		return resolverNowhere
	}
	unix.Close(etc)
	file, err := unix.Openat2(image, resolverFile, &unix.OpenHow{
		Flags:   unix.O_PATH | unix.O_NOFOLLOW | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS,
	})
	if err != nil {
		return resolverToAdd
	}
	defer unix.Close(file)
	var stat unix.Stat_t
	if unix.Fstat(file, &stat) == nil && stat.Mode&unix.S_IFMT == unix.S_IFREG {
		return resolverThere
	}
	return resolverToAdd
}

// addResolver makes a layer over the image that has nothing but an empty /etc/resolv.conf: a file to mount ours on. Its /etc takes the owner
// and mode of the image's, which it stands for.
func addResolver(image int, layer string) *wire.Failure {
	if err := os.Mkdir(layer+"/etc", 0o755); err != nil {
		return wire.Failf(wire.Mount, "%v", err)
	}
	if etc, err := openBeneath(image, "etc"); err == nil {
		defer unix.Close(etc)
		var stat unix.Stat_t
		if err := errors.Join(
			unix.Fstat(etc, &stat),
			unix.Chown(layer+"/etc", int(stat.Uid), int(stat.Gid)),
			unix.Chmod(layer+"/etc", stat.Mode&0o7777),
		); err != nil {
			return wire.Failf(wire.Mount, "/etc: %s", errnoText(err))
		}
	}
	if err := os.WriteFile(layer+"/"+resolverFile, nil, 0o644); err != nil {
		return wire.Failf(wire.Mount, "%v", err)
	}
	return nil
}

// mountResolver puts the guest's name servers at /etc/resolv.conf. Programs may write to it.
func mountResolver(root int, nameservers []netip.Addr) *wire.Failure {
	var text strings.Builder
	for _, server := range nameservers {
		text.WriteString("nameserver " + server.String() + "\n")
	}
	own := staging + "/resolv.conf"
	if err := os.WriteFile(own, []byte(text.String()), 0o644); err != nil {
		return wire.Failf(wire.Mount, "%v", err)
	}
	target, err := unix.Openat2(root, resolverFile, &unix.OpenHow{
		Flags:   unix.O_PATH | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS,
	})
	if err != nil {
		return targetFailure(resolverFile, err)
	}
	defer unix.Close(target)
	if err := unix.Mount(own, through(target), "", unix.MS_BIND, ""); err != nil {
		return mountFailure("bind", resolverFile, err)
	}
	return nil
}

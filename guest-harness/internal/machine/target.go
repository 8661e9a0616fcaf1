package machine

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"aegis.dev/guest-harness/internal/wire"
	"golang.org/x/sys/unix"
)

// openBeneath opens the directory path of the tree that root is, following no symbolic link and never leaving the tree
// (openat2, Linux 5.6), so that an image cannot steer a mount (T-212).
func openBeneath(root int, path string) (int, error) {
	return unix.Openat2(root, path, &unix.OpenHow{
		Flags:   unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS,
	})
}

// through is the path of an open file: mount(2) has no form that takes a descriptor for both source and target.
func through(fd int) string { return "/proc/self/fd/" + strconv.Itoa(fd) }

// mount mounts something on the directory path (no leading slash) of the tree root.
func mount(root int, path, kind, source string, flags uintptr, data string) *wire.Failure {
	target, err := openBeneath(root, path)
	if err != nil {
		return targetFailure(path, err)
	}
	defer unix.Close(target)
	if err := unix.Mount(source, through(target), kind, flags, data); err != nil {
		return mountFailure(kind, path, err)
	}
	return nil
}

func mountFailure(kind, path string, err error) *wire.Failure {
	return wire.Failf(wire.Mount, "%s on /%s: %s", kind, path, errnoText(err))
}

func targetFailure(path string, err error) *wire.Failure {
	switch {
	case errors.Is(err, unix.ELOOP):
		return wire.Failf(wire.Mount, "/%s is a symbolic link in the image: it must be a directory or be absent", path)
	case errors.Is(err, unix.ENOTDIR):
		return wire.Failf(wire.Mount, "/%s is not a directory in the image", path)
	default:
		return wire.Failf(wire.Mount, "/%s: %s", path, errnoText(err))
	}
}

// errnoText names an errno as well as telling it: "EINVAL: invalid argument".
func errnoText(err error) string {
	var errno unix.Errno
	if errors.As(err, &errno) {
		if name := unix.ErrnoName(errno); name != "" {
			return fmt.Sprintf("%s: %v", name, errno)
		}
	}
	return strings.TrimSpace(err.Error())
}

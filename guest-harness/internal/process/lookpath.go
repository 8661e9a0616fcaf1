package process

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"aegis.dev/guest-harness/internal/wire"
)

// defaultPath is what execvp(3) of the usual C libraries searches when there is no PATH.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// lookPath finds the file that name stands for, as execvp(3) does: a name with a slash is a path (from cwd), any other
// is searched in path. Failures are spawn-not-found and spawn-denied.
func lookPath(name, path, cwd string) (string, *wire.Failure) {
	if strings.Contains(name, "/") {
		if err := executable(absolute(cwd, name)); err != nil {
			return "", spawnFailure(name, err)
		}
		return absolute(cwd, name), nil
	}
	if path == "" {
		path = defaultPath
	}
	denied := error(nil)
	for _, directory := range filepath.SplitList(path) {
		candidate := absolute(cwd, filepath.Join(directory, name))
		err := executable(candidate)
		if err == nil {
			return candidate, nil
		}
		if denied == nil && !errors.Is(err, syscall.ENOENT) && !errors.Is(err, syscall.ENOTDIR) {
			denied = err
		}
	}
	if denied != nil {
		return "", spawnFailure(name, denied)
	}
	return "", wire.Failf(wire.SpawnNotFound, "%s: not found in PATH (%s)", name, path)
}

func absolute(cwd, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(cwd, path)
}

// executable says why the file cannot be executed; root needs one of the three x bits, as the kernel does.
func executable(path string) error {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return err
	case info.IsDir():
		return syscall.EISDIR
	case info.Mode().Perm()&0o111 == 0:
		return syscall.EACCES
	}
	return nil
}

// spawnFailure turns the errno of a look-up or of execve into the failure that the host maps to an exit code.
func spawnFailure(name string, err error) *wire.Failure {
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		return wire.Failf(wire.SpawnFailed, "%s: %v", name, err)
	}
	switch errno {
	case syscall.ENOENT:
		return wire.Failf(wire.SpawnNotFound, "%s: no such file", name)
	case syscall.ENOTDIR:
		return wire.Failf(wire.SpawnNotFound, "%s: a part of the path is not a directory", name)
	case syscall.EACCES:
		return wire.Failf(wire.SpawnDenied, "%s: permission denied: is it executable?", name)
	case syscall.EISDIR:
		return wire.Failf(wire.SpawnDenied, "%s: is a directory", name)
	case syscall.ENOEXEC:
		return wire.Failf(wire.SpawnDenied, "%s: neither a program for this machine nor a script that begins with #!", name)
	default:
		return wire.Failf(wire.SpawnFailed, "%s: %v (errno %d)", name, errno, int(errno))
	}
}

package machine

import (
	"errors"
	"os"
	"strings"
	"time"

	"aegis.dev/guest-harness/internal/wire"
	"golang.org/x/sys/unix"
)

const (
	// staging is a directory of the harness's own root. Under it: image, the root disk; points, directories that the
	// image lacks; over, files in place of the image's; root, these laid over each other; var-upper and var-work, what the
	// command writes to /var.
	staging = "/newroot"
	// deviceWait bounds the wait for the root disk, which the kernel may still be looking at.
	deviceWait = 2 * time.Second
)

// mountPoints are what an image should have and may lack.
var mountPoints = []string{"proc", "sys", "dev", "tmp", "run", "var", "workspace"}

// enterImage builds the guest's file systems from the root disk and makes them the root of every process, PID 1
// included. Nothing of the harness's own root can be reached afterwards.
func enterImage(boot *wire.Boot) *wire.Failure {
	if err := unix.Mount("staging", staging, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=0700"); err != nil {
		return mountFailure("tmpfs", strings.TrimPrefix(staging, "/"), err)
	}
	for _, name := range []string{"image", "points", "over", "root", "var-upper", "var-work"} {
		if err := os.Mkdir(staging+"/"+name, 0o755); err != nil {
			return wire.Failf(wire.Mount, "%v", err)
		}
	}
	if err := mountDisk(boot.RootDevice); err != nil {
		return wire.Failf(wire.Mount, "ext4 of %s on /: %s", boot.RootDevice, errnoText(err))
	}
	names := boot.Network != nil && len(boot.Network.Nameservers) > 0
	rootPath, failure := completeRoot(&names)
	if failure != nil {
		return failure
	}
	root, err := unix.Open(rootPath, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return wire.Failf(wire.Mount, "/: %s", errnoText(err))
	}
	defer unix.Close(root)
	if failure := mountAll(root, boot.Workspace); failure != nil {
		return failure
	}
	if names {
		if failure := mountResolver(root, boot.Network.Nameservers); failure != nil {
			return failure
		}
	}
	return pivot(root)
}

func mountDisk(device string) error {
	for deadline := time.Now().Add(deviceWait); ; time.Sleep(time.Millisecond) {
		err := unix.Mount(device, staging+"/image", "ext4", unix.MS_RDONLY|unix.MS_NODEV, "")
		missing := errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENXIO)
		if !missing || time.Now().After(deadline) {
			return err
		}
	}
}

// completeRoot gives the path of a root that has every mount point: the image itself if it has, else a read-only
// overlay of the image over the directories that it lacks. names says whether /etc/resolv.conf is one of them; it is taken back for an image
// that has no place for it.
func completeRoot(names *bool) (string, *wire.Failure) {
	image, err := unix.Open(staging+"/image", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", wire.Failf(wire.Mount, "/: %s", errnoText(err))
	}
	defer unix.Close(image)
	complete := true
	for _, point := range mountPoints {
		fd, err := openBeneath(image, point)
		switch {
		case err == nil:
			unix.Close(fd)
		case errors.Is(err, unix.ENOENT):
			complete = false
			if err := os.Mkdir(staging+"/points/"+point, 0o755); err != nil {
				return "", wire.Failf(wire.Mount, "%v", err)
			}
		default:
			return "", targetFailure(point, err)
		}
	}
	over := ""
	if *names {
		switch findResolver(image) {
		case resolverToAdd:
			if failure := addResolver(image, staging+"/over"); failure != nil {
				return "", failure
			}
			over = staging + "/over:"
		case resolverNowhere:
			*names = false
		}
	}
	if complete && over == "" {
		return staging + "/image", nil
	}
	layers := "lowerdir=" + over + staging + "/image:" + staging + "/points"
	if err := unix.Mount("overlay", staging+"/root", "overlay", unix.MS_RDONLY|unix.MS_NODEV, layers); err != nil {
		return "", mountFailure("overlay", "", err)
	}
	return staging + "/root", nil
}

func mountAll(root int, workspace *wire.Workspace) *wire.Failure {
	const quiet = unix.MS_NOSUID | unix.MS_NODEV
	if failure := mountVar(root); failure != nil {
		return failure
	}
	for _, m := range []struct {
		path, kind string
		flags      uintptr
		data       string
	}{
		{"proc", "proc", quiet | unix.MS_NOEXEC, ""},
		{"sys", "sysfs", quiet | unix.MS_NOEXEC, ""},
		{"dev", "devtmpfs", unix.MS_NOSUID, ""},
		{"dev/pts", "devpts", unix.MS_NOSUID | unix.MS_NOEXEC, "gid=5,mode=620,ptmxmode=666"},
		{"dev/shm", "tmpfs", quiet, "mode=1777"},
		{"tmp", "tmpfs", quiet, "mode=1777"},
		{"run", "tmpfs", quiet, "mode=0755"},
	} {
		if m.path == "dev/pts" {
			if failure := fillDev(root); failure != nil {
				return failure
			}
		}
		if failure := mount(root, m.path, m.kind, m.kind, m.flags, m.data); failure != nil {
			return failure
		}
	}
	if workspace == nil {
		return mount(root, "workspace", "tmpfs", "tmpfs", quiet, "mode=0755")
	}
	flags := uintptr(quiet)
	if workspace.ReadOnly {
		flags |= unix.MS_RDONLY
	}
	return mount(root, "workspace", "virtiofs", workspace.Tag, flags, "")
}

// mountVar lays a tmpfs over the image's own /var. The overlay's directory has the mode and owner of its upper layer's,
// so that takes those of the image's.
func mountVar(root int) *wire.Failure {
	lower, err := openBeneath(root, "var")
	if err != nil {
		return targetFailure("var", err)
	}
	defer unix.Close(lower)
	var stat unix.Stat_t
	upper := staging + "/var-upper"
	if err := unix.Fstat(lower, &stat); err != nil {
		return wire.Failf(wire.Mount, "/var: %s", errnoText(err))
	}
	if err := errors.Join(
		unix.Chown(upper, int(stat.Uid), int(stat.Gid)),
		unix.Chmod(upper, stat.Mode&0o7777),
	); err != nil {
		return wire.Failf(wire.Mount, "/var: %s", errnoText(err))
	}
	layers := "lowerdir=" + through(lower) + ",upperdir=" + upper + ",workdir=" + staging + "/var-work"
	return mount(root, "var", "overlay", "overlay", unix.MS_NOSUID|unix.MS_NODEV, layers)
}

// fillDev adds to the fresh devtmpfs what programs expect in /dev and no driver makes.
func fillDev(root int) *wire.Failure {
	dev, err := openBeneath(root, "dev")
	if err != nil {
		return targetFailure("dev", err)
	}
	defer unix.Close(dev)
	var failures []error
	for _, name := range []string{"pts", "shm"} {
		failures = append(failures, unix.Mkdirat(dev, name, 0o755))
	}
	for name, to := range map[string]string{
		"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2",
	} {
		failures = append(failures, unix.Symlinkat(to, dev, name))
	}
	for _, err := range failures {
		if err != nil && !errors.Is(err, unix.EEXIST) {
			return wire.Failf(wire.Mount, "/dev: %s", errnoText(err))
		}
	}
	return nil
}

// pivot makes root the root directory of every process and unmounts the old one (pivot_root(2), "pivot_root(".", ".")").
func pivot(root int) *wire.Failure {
	steps := []struct {
		name string
		run  func() error
	}{
		{"fchdir", func() error { return unix.Fchdir(root) }},
		{"pivot_root", func() error { return unix.PivotRoot(".", ".") }},
		{"umount2", func() error { return unix.Unmount(".", unix.MNT_DETACH) }},
		{"chdir", func() error { return unix.Chdir("/") }},
	}
	for _, step := range steps {
		if err := step.run(); err != nil {
			return wire.Failf(wire.Mount, "/: %s: %s", step.name, errnoText(err))
		}
	}
	return nil
}

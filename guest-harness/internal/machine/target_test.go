package machine

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// T-212: an image whose mount points are symbolic links, anywhere in the path, is refused by name and never followed.
func TestT212MountTargetsAreNeverFollowedThroughLinks(t *testing.T) {
	tree := t.TempDir()
	for path, make := range map[string]func(string) error{
		"proc":         func(p string) error { return os.Mkdir(p, 0o755) },
		"absolute":     func(p string) error { return os.Symlink("/etc", p) },
		"relative":     func(p string) error { return os.Symlink("proc", p) },
		"outside":      func(p string) error { return os.Symlink("../../etc", p) },
		"loop":         func(p string) error { return os.Symlink("loop", p) },
		"file":         func(p string) error { return os.WriteFile(p, nil, 0o644) },
		"linked-below": func(p string) error { return os.Symlink("/dev", p) },
	} {
		if err := make(filepath.Join(tree, path)); err != nil {
			t.Fatal(err)
		}
	}
	root, err := unix.Open(tree, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(root)
	for path, says := range map[string]string{
		"proc":                      "",
		"absolute":                  "/absolute is a symbolic link in the image",
		"relative":                  "/relative is a symbolic link",
		"outside":                   "/outside is a symbolic link",
		"loop":                      "/loop is a symbolic link",
		"linked-below/pts":          "/linked-below/pts is a symbolic link",
		"file":                      "/file is not a directory",
		"missing":                   "ENOENT",
		"../" + filepath.Base(tree): "EXDEV",
		"/etc":                      "EXDEV",
	} {
		fd, err := openBeneath(root, path)
		if err == nil {
			unix.Close(fd)
			if says != "" {
				t.Errorf("%s was opened", path)
			}
			continue
		}
		if failure := targetFailure(path, err); says == "" || !strings.Contains(failure.Message, says) {
			t.Errorf("%s: %s", path, failure.Message)
		}
	}
}

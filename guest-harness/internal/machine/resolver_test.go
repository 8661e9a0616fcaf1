package machine

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// T-212: where an image's /etc or /etc/resolv.conf is a symbolic link, it is not followed: ours is in a layer over it, or nowhere.
func TestT212TheResolverFileIsNeverFoundThroughALink(t *testing.T) {
	etc := func(then func(file string) error) func(string) error {
		return func(tree string) error {
			if err := os.Mkdir(filepath.Join(tree, "etc"), 0o750); err != nil {
				return err
			}
			return then(filepath.Join(tree, resolverFile))
		}
	}
	for name, c := range map[string]struct {
		make func(tree string) error
		want resolver
	}{
		"a file":              {etc(func(p string) error { return os.WriteFile(p, []byte("x"), 0o644) }), resolverThere},
		"a link out of it":    {etc(func(p string) error { return os.Symlink("/etc/passwd", p) }), resolverToAdd},
		"a link within it":    {etc(func(p string) error { return os.Symlink("../run/resolv.conf", p) }), resolverToAdd},
		"a directory":         {etc(func(p string) error { return os.Mkdir(p, 0o755) }), resolverToAdd},
		"no file":             {etc(func(string) error { return nil }), resolverToAdd},
		"no /etc":             {func(string) error { return nil }, resolverToAdd},
		"/etc that is a link": {func(tree string) error { return os.Symlink("/etc", filepath.Join(tree, "etc")) }, resolverNowhere},
		"/etc that is a file": {func(tree string) error { return os.WriteFile(filepath.Join(tree, "etc"), nil, 0o644) }, resolverNowhere},
	} {
		tree := t.TempDir()
		if err := c.make(tree); err != nil {
			t.Fatal(err)
		}
		image, err := unix.Open(tree, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		if got := findResolver(image); got != c.want {
			t.Errorf("%s: %v, not %v", name, got, c.want)
		}
		if c.want == resolverToAdd {
			layer := t.TempDir()
			if failure := addResolver(image, layer); failure != nil {
				t.Errorf("%s: %v", name, failure)
			}
			found, err := os.Lstat(filepath.Join(layer, resolverFile))
			if err != nil || !found.Mode().IsRegular() {
				t.Errorf("%s: %v, %v", name, found, err)
			}
			above, err := os.Stat(filepath.Join(layer, "etc"))
			if name == "a link out of it" && (err != nil || above.Mode().Perm() != 0o750) {
				t.Errorf("the layer's /etc: %v, %v", above, err)
			}
		}
		unix.Close(image)
	}
}
